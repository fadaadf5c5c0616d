"""Is the data where the config looks for it?"""
from collections.abc import Iterable
from pathlib import Path

from mmengine.config import Config

from ..config import walk
from ..errors import UserError
from .layouts import LAYOUTS


def check_data(cfg: Config, *splits: str) -> None:
    """Looks for every folder and annotation file of the data sets of `splits` ('train', ...).

    Raises:
        UserError: Something is missing; names it, the layout that is expected, and the ways out.
    """
    data_sets = [node for split in splits for node in walk(cfg[f'{split}_dataloader'])
                 if node.get('data_root')]
    missing = {path.absolute(): data_set['type'] for data_set in data_sets
               for path in _paths(data_set) if not path.exists()}
    if not missing:
        return
    lines = ['The data is not where the config looks for it. Missing:', *_indent(missing)]
    ways_out = ['- try the config on toy data first: add --toy',
                '- see what else is missing:  python -m twins_mm.doctor']
    for name, layout in LAYOUTS.items():
        if layout.dataset not in missing.values():
            continue
        folder = layout.folder
        lines += [f'{layout.name} is expected in {folder}, below the current folder:']
        lines += _indent(layout.describe())
        ways_out[:0] = [
            f'- unpack the official archives:  '
            f'python tools/prepare_data.py {name} --archives DIR',
            f'- link your copy:  mkdir -p {folder.parent} && '
            f'ln -s /path/to/{folder.name} {folder.parent}/']
    raise UserError('\n'.join([*lines, 'Ways out:', *_indent(ways_out)]))


def _paths(data_set: dict) -> list[Path]:
    """The files and folders that a data set's config names."""
    names = [data_set.get('ann_file'), *(data_set.get('data_prefix') or {}).values()]
    return [Path(data_set['data_root'], name) for name in names if name]


def _indent(lines: Iterable) -> list[str]:
    return [f'  {line}' for line in lines]
