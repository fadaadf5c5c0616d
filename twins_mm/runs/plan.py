"""What is still to be run for the paper's tables, and how long it takes."""
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mmengine.config import Config

from ..data.data_sets import DATA_SETS
from ..paper.figures import TABLES
from .filled_tables import FILLED, Key, Results, key_of


class Training(NamedTuple):
    """A config that is to be trained, or trained on."""

    config: Path
    cfg: Config
    iterations: int
    command: str

    @property
    def processes(self) -> int:
        return _processes(self.cfg)

    def gpu_hours(self, parts: dict[str, float]) -> float:
        """Of all processes, from the seconds of each part of one's step of training.

        Workers load data while a step is computed: it counts where they are slower. What
        processes tell each other, validation and checkpoints aren't in it.
        """
        step = sum(seconds for part, seconds in parts.items() if part != 'data loading')
        loading = parts['data loading'] / self.cfg.train_dataloader.num_workers
        return max(step, loading) * self.iterations * self.processes / 3600


def list_trainings(results: Results, configs: Path, runs_dir: Path) -> Iterator[Training]:
    """The configs of the tables that have no figures yet, in the tables' order."""
    for name in dict.fromkeys(key.config for key in _missing(results) if not key.tta):
        path = configs / f'{name}.py'
        cfg = Config.fromfile(path)
        begun = results.runs.get(name)
        done = begun.iteration if begun else 0
        folder = begun.folder if begun else runs_dir / name
        command = (f'torchrun --nproc_per_node {_processes(cfg)} tools/train.py configs/{name}.py '
                   f'--launcher pytorch{_work_dir(folder, name)}{" --resume" if begun else ""}')
        yield Training(path, cfg, _iterations(cfg) - done, command)


def list_tests(results: Results, configs: Path, runs_dir: Path) -> Iterator[str]:
    """The commands of multi-scale testing whose figures aren't there yet, in the tables' order."""
    for key in _missing(results):
        if key.tta:
            run = results.runs.get(key.config)
            folder = run.folder if run else runs_dir / key.config
            last = Config.fromfile(configs / f'{key.config}.py').train_cfg.max_iters
            yield (f'python tools/test.py configs/{key.config}.py {folder}/iter_{last}.pth --tta'
                   f'{_work_dir(folder, key.config)}')


def _missing(results: Results) -> Iterator[Key]:
    for number in FILLED:
        for variant, column, _ in TABLES[number].list_ours():
            key = key_of(column, variant)
            if key.config and key not in results.figures:
                yield key


def _processes(cfg: Config) -> int:
    return cfg.auto_scale_lr.base_batch_size // cfg.train_dataloader.batch_size


def _iterations(cfg: Config) -> int:
    if 'max_iters' in cfg.train_cfg:
        return cfg.train_cfg.max_iters
    data_set, = (row for row in DATA_SETS.values() if row.type == cfg.train_dataloader.dataset.type)
    return cfg.train_cfg.max_epochs * -(-data_set.epoch // cfg.auto_scale_lr.base_batch_size)


def _work_dir(folder: Path, name: str) -> str:
    """The flag that names the folder, unless it is where the tools put it anyway."""
    return '' if folder == Path('work_dirs', name) else f' --work-dir {folder}'
