"""What is still to be run for the paper's tables, and how long it takes."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from mmengine.config import Config

from ..data.data_sets import DATA_SETS
from ..files.shipped import list_configs
from ..models.variants import Variant
from .baselines import Baseline
from .figures import TABLES, Column
from .filled_tables import FILLED, Key, Results, key_of


class Training(NamedTuple):
    """A config that is to be trained, or trained on."""

    config: Path
    cfg: Config
    iterations: int
    processes: int
    command: str

    def gpu_hours(self, parts: dict[str, float]) -> float:
        """GPU hours of all processes, from the seconds of each part of one's step of training.

        Workers load data while a step is computed: it counts where they are slower. What
        processes tell each other, validation and checkpoints aren't in it.
        """
        step = sum(seconds for part, seconds in parts.items() if part != 'data loading')
        loading = parts['data loading'] / self.cfg.train_dataloader.num_workers
        return max(step, loading) * self.iterations * self.processes / 3600


def list_trainings(
    results: Results, configs: Path, runs_dir: Path, baselines: bool = False
) -> Iterator[Training]:
    """The configs of the tables that have no figures yet, in the tables' order.

    With `baselines`, those of other backbones too.
    """
    for name in dict.fromkeys(
        key.config
        for key in _missing(results, baselines)
        # The paper prints multi-scale testing's figure of one alone.
        if not key.tta or (key.config, False) not in results.sources
    ):
        path = _find_config(results, name, configs)
        if path is None:  # Table 1 has backbones that we have no classifier's config of
            continue
        cfg = Config.fromfile(path)
        processes = cfg.auto_scale_lr.base_batch_size // cfg.train_dataloader.batch_size
        begun = results.runs.get(name)
        _, flag = _work_dir(results, runs_dir, name, path)
        command = (
            f'torchrun --nproc_per_node {processes} tools/train.py '
            f'configs/{path.relative_to(configs)} --launcher pytorch{flag}'
            f'{" --resume" if begun else ""}'
        )
        left = _iterations(cfg) - (begun.iteration if begun else 0)
        yield Training(path, cfg, left, processes, command)


def list_tests(
    results: Results, configs: Path, runs_dir: Path, baselines: bool = False
) -> Iterator[str]:
    """The commands of multi-scale testing whose figures aren't there yet, in the tables' order."""
    for key in _missing(results, baselines):
        if key.tta and (path := _find_config(results, key.config, configs)):
            folder, flag = _work_dir(results, runs_dir, key.config, path)
            last = Config.fromfile(path).train_cfg.max_iters
            yield (
                f'python tools/test.py configs/{path.relative_to(configs)} '
                f'{folder}/iter_{last}.pth --tta{flag}'
            )


def _missing(results: Results, baselines: bool) -> Iterator[Key]:
    for number in FILLED:
        figures: Iterable[tuple[Variant | Baseline, Column, float]] = (
            TABLES[number].list_known() if baselines else TABLES[number].list_ours()
        )
        for backbone, column, _ in figures:
            key = key_of(column, backbone)
            if key.config and key not in results.figures:
                yield key


def _find_config(results: Results, name: str, configs: Path) -> Path | None:
    """That of the run, which may be the released code's; the paper's recipe where nothing ran."""
    run = results.runs.get(name)
    return next(iter(list_configs(configs, run.name if run else name)), None)


def _iterations(cfg: Config) -> int:
    if 'max_iters' in cfg.train_cfg:
        return cfg.train_cfg.max_iters
    (data_set,) = (
        row for row in DATA_SETS.values() if row.type == cfg.train_dataloader.dataset.type
    )
    whole, rest = divmod(data_set.epoch, cfg.auto_scale_lr.base_batch_size)
    is_rest_used = rest > 0 and not cfg.train_dataloader.get('drop_last', False)
    return cfg.train_cfg.max_epochs * (whole + is_rest_used)


def _work_dir(results: Results, runs_dir: Path, name: str, config: Path) -> tuple[Path, str]:
    """A run's folder, and the flag for it unless it is where the tools put it anyway."""
    folder = results.runs[name].folder if name in results.runs else runs_dir / name
    return folder, '' if folder == Path('work_dirs', config.stem) else f' --work-dir {folder}'
