"""Reads the working directories of mmengine's runs."""

import json
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from mmengine.config import Config

from ..config import accumulative_counts, batch_size, walk
from ..data.data_sets import TOY_ROOT
from ..errors import UserError
from ..tasks import TASKS

_LARGEST = 2.0**128  # floats of 32 bits end here
_MOST_STEPS = 2**31  # at a millisecond each, 25 days


@dataclass
class Evaluation:
    """A run of tools/test.py: its metrics, in percent, and what was tested."""

    metrics: dict[str, float]
    checkpoint: str
    tta: bool


@dataclass
class Run:
    """A working directory: one training run, however often resumed, and its evaluations.

    Attributes:
        name: The name of the config, without `.py`.
        cfg: The config of the last start.
        logged: The time of the last log record.
        training: Training records, with the iteration as 'step'; for iterations that a resumed
            run repeats, only its own.
        validation: Metrics in percent; 'step' counts epochs if the run does.
        environment: Versions, devices and seed, as mmengine logged them.
        epoch_length: Iterations per epoch; None if the run has no epochs.
        left_out: How many lines of the log can't be read, or have no step or loss.
    """

    folder: Path
    name: str
    cfg: Config
    logged: datetime
    training: list[dict] = field(default_factory=list)
    validation: list[dict] = field(default_factory=list)
    evaluations: list[Evaluation] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    epoch_length: int | None = None
    left_out: int = 0

    @property
    def is_toy(self) -> bool:
        """Whether it trained on the data of `--toy`."""
        return any(
            Path(str(node['data_root'])).is_relative_to(TOY_ROOT)
            for node in walk(self.cfg.get('train_dataloader'))
            if node.get('data_root')
        )

    @property
    def by_epoch(self) -> bool:
        return 'max_epochs' in self.cfg.train_cfg

    @property
    def counts_epochs(self) -> bool:
        """Whether the steps of validations are epochs."""
        return self._logger.get('log_metric_by_epoch', True)

    @property
    def iteration(self) -> int:
        """The last logged iteration; 0 if there is none."""
        return self.training[-1]['step'] if self.training else 0

    @property
    def iterations(self) -> int | None:
        """The planned number of iterations; None if it is not known yet."""
        return count_iterations(self.cfg, self.epoch_length)

    @property
    def is_finished(self) -> bool:
        """Whether training has reached the end, to within a logging interval."""
        interval = self._logger.get('interval', 10)
        return bool(self.iterations and self.iterations - self.iteration < interval)

    @property
    def _logger(self) -> dict:
        return (self.cfg.get('default_hooks') or {}).get('logger') or {}

    @property
    def seconds(self) -> float | None:
        """Seconds per iteration, as the median of recent ones."""
        times = [line['time'] for line in self.training[-20:] if 'time' in line]
        return median(times) if times else None

    @property
    def processes(self) -> int:
        number = self.environment.get('GPU number', '')
        return int(number) if number.isdecimal() else 1

    @property
    def accumulation(self) -> int:
        """Iterations per weight update."""
        return accumulative_counts(self.cfg)

    @property
    def batch(self) -> int:
        """Images per weight update, over all processes."""
        return batch_size(self.cfg, self.processes)

    @property
    def checkpoint(self) -> Path | None:
        """The last checkpoint, even if the folder was moved."""
        pointer = self.folder / 'last_checkpoint'
        path = (
            pointer.is_file()
            and self.folder / Path(pointer.read_text(errors='replace').strip()).name
        )
        return path if path and path.is_file() else None


def count_iterations(cfg: Config, epoch_length: int | None) -> int | None:
    """How many iterations a config trains; None if that depends on `epoch_length`."""
    if 'max_epochs' not in cfg.train_cfg:
        return cfg.train_cfg.max_iters
    return epoch_length and cfg.train_cfg.max_epochs * epoch_length


def find_runs(root: Path) -> Iterator[Run]:
    """Yields every run under a folder, sorted by name.

    Raises:
        UserError: The folder doesn't exist.
    """
    if not root.is_dir():
        raise UserError(f'Folder not found: {root}')
    for folder in sorted({path.parents[2] for path in root.rglob('*/vis_data/config.py')}):
        yield read_run(folder)


def read_run(folder: Path) -> Run:
    """The run whose working directory is `folder`.

    Raises:
        UserError: It is not the working directory of a run, or can't be read.
    """
    try:
        return _read_run(folder)
    except OSError as error:
        raise UserError(f'{error.filename}: {error.strerror}') from error


def _read_run(folder: Path) -> Run:
    if not folder.is_file():
        os.listdir(folder)  # raises where glob finds nothing
    starts = sorted(path.parents[1] for path in folder.glob('*/vis_data/config.py'))
    if not starts:
        raise UserError(
            f'{folder} is not the working directory of a run '
            f'(it has no */vis_data/config.py){_advise(folder)}'
        )
    logs = {start: _read_scalars(start) for start in starts}
    trained = {start: log.records for start, log in logs.items() if log.records}
    last = max(trained or starts)
    # At each start, mmengine writes the config there under its own name.
    name = max(folder.glob('*.py'), key=lambda path: path.stat().st_mtime, default=last).stem
    newest = last / 'vis_data' / ('scalars.json' if trained else 'config.py')
    logged = datetime.fromtimestamp(newest.stat().st_mtime)
    run = Run(folder, name, _read_config(last), logged)
    run.left_out = sum(log.left_out for log in logs.values())
    records: list[dict] = []
    for new in trained.values():
        first = next((line['step'] for line in new if _is_training(line)), float('inf'))
        # Drop records that the resumed run repeats.
        again = next(
            (
                number
                for number, line in enumerate(records)
                if _is_training(line) and line['step'] >= first
            ),
            None,
        )
        records = [*records[:again], *new]
    training = {line['step']: line for line in records if _is_training(line)}
    run.training = [training[step] for step in sorted(training)]
    run.validation = [to_percent(line) for line in records if not _is_training(line)]
    run.evaluations = [evaluation for start in starts for evaluation in _read_evaluations(start)]
    log = ''.join(path.read_text(errors='replace') for path in last.glob('*.log'))
    run.environment = _read_environment(log)
    if found := re.search(r'Epoch\(train\) +\[\d+\]\[ *\d+/(\d+)\]', log):
        run.epoch_length = int(found[1])
    _check(run, _config_of(last))
    return run


def _advise(folder: Path) -> str:
    """Which folder is meant instead, if that can be seen."""
    if (folder / 'vis_data').is_dir():
        return f': pass the folder above it, {folder.absolute().parent}'
    if next(folder.glob('*/*/vis_data/config.py'), None):
        return f': pass the runs in it, {folder}/*'
    return ': pass the --work-dir of a training run'


def _check(run: Run, config: Path) -> None:
    """Refuses a config without what all else is computed from."""
    try:
        planned = run.iterations
        if not (run.batch > 0 and (planned is None or planned > 0)):
            raise ValueError(f'batch size {run.batch}, {planned} iterations')
        _ = run.cfg.model.type, run.is_toy, run.is_finished, run.counts_epochs
    except Exception as error:  # the config may hold anything
        raise UserError(
            f'{config} is not the config of a training run: {type(error).__name__}: {error}'
        ) from error


class _Log(NamedTuple):
    records: list[dict]
    left_out: int


def _read_scalars(start: Path) -> _Log:
    path = start / 'vis_data/scalars.json'
    text = path.read_text(encoding='utf-8', errors='replace') if path.exists() else ''
    *lines, last = text.split('\n')
    records = [_read_record(line) for line in lines if line.strip()]
    left_out = records.count(None)
    records.append(_read_record(last))  # an active run may still be writing it
    return _Log([record for record in records if record], left_out)


def _read_record(line: str) -> dict | None:
    """The numbers of a line; None if it is damaged, or has no step or loss."""
    try:
        values = json.loads(line, parse_int=float)
        record = {key: value for key, value in values.items() if _is_number(value)}
        record['step'] = int(record['step'])
    except (ValueError, OverflowError, RecursionError, AttributeError, KeyError):
        return None
    is_whole = 'loss' in record or not _is_training(record)
    return record if is_whole and 0 <= record['step'] < _MOST_STEPS else None


def _is_number(value: Any) -> bool:
    """One that a float of 32 bits can be."""
    return isinstance(value, float) and not _LARGEST < abs(value) < math.inf


def _is_training(line: dict) -> bool:
    return 'lr' in line


def _config_of(start: Path) -> Path:
    return start / 'vis_data/config.py'


def _read_config(start: Path) -> Config:
    path = _config_of(start)
    try:
        # mmengine reads a copy, and would say which line of that is wrong.
        compile(path.read_bytes(), path.name, 'exec')
        return Config.fromfile(path, import_custom_modules=False, lazy_import=False)
    except OSError:
        raise
    except Exception as error:  # it is code
        raise UserError(
            f'{path} is damaged: {type(error).__name__}: {error}. In {start.parent} is a copy of '
            "the last start's config: copy it to this path"
        ) from error


def to_percent(metrics: dict) -> dict:
    """As tasks say what is a fraction; COCO's are -1 if there are no objects, and left out."""
    fractions = tuple(prefix for task in TASKS.values() for prefix in task.fractions)
    return {
        key: 100 * value if key.startswith(fractions) else value
        for key, value in metrics.items()
        if value >= 0
    }


def _read_evaluations(start: Path) -> Iterator[Evaluation]:
    """The results of tools/test.py in `START/START.json`, which training doesn't write."""
    path = start / f'{start.name}.json'
    if path.is_file():
        cfg = _read_config(start)
        try:
            values = dict(json.loads(path.read_text()))
        except (ValueError, TypeError) as error:
            raise UserError(f'{path} is damaged ({error}): delete it, and test again') from error
        metrics = {key: value for key, value in values.items() if isinstance(value, (int, float))}
        # --tta wraps the model in one that merges its predictions.
        is_tta = 'module' in (cfg.get('model') or {})
        yield Evaluation(to_percent(metrics), cfg.get('load_from') or '', is_tta)


def _read_environment(log: str) -> dict[str, str]:
    block = re.search(r'System environment:\n(.*?)\n-{60}', log, re.DOTALL)
    if not block:
        return {}
    entries = dict(re.findall(r'^ {4}(\w[^:\n]*): (.+)$', block[1], re.MULTILINE))
    # The first line of a page of compiler flags.
    entries.pop('PyTorch compiling details', None)
    return entries
