"""Is the data where the config looks for it?"""
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..config import walk
from ..errors import UserError
from .data_sets import DATA_SETS


def check_data(cfg: Config, *splits: str) -> None:
    """Looks for every folder and annotation file of `splits` ('train', 'val', 'test').

    Those of data sets and evaluators are looked for, unless they are on a server. A split that the
    config doesn't have needs nothing.

    Raises:
        UserError: Something is missing; names it, the layout that is expected, and the ways out.
    """
    nodes = walk([cfg.get(f'{split}_{part}') for split in splits
                  for part in ('dataloader', 'evaluator')])
    missing = {path.absolute(): node.get('type') for node in nodes
               for path in _paths(node) if not path.exists()}
    if not missing:
        return
    lines = ['The data is not where the config looks for it. Missing:', *_indent(missing)]
    ways_out = ['- say where it is:  --data-root DIR',
                '- try the config on toy data first: add --toy',
                '- see what else is missing:  python -m twins_mm.doctor']
    for name, data in DATA_SETS.items():
        if data.type not in missing.values():
            continue
        folder = data.folder
        lines += [f'{data.title} is expected in {folder} below the current folder, or in '
                  '--data-root:']
        lines += _indent(data.list_contents())
        ways_out[:0] = [
            f'- unpack the official archives:  '
            f'python tools/prepare_data.py {name} --archives DIR',
            f'- link your copy:  mkdir -p {folder.parent} && '
            f'ln -s /path/to/{folder.name} {folder.parent}/']
    raise UserError('\n'.join([*lines, 'Ways out:', *_indent(ways_out)]))


def _paths(node: dict) -> Iterator[Path]:
    """The files and folders on disk that the config of a data set or an evaluator names."""
    if (node.get('backend_args') or {}).get('backend', 'local') != 'local':
        return
    names = node.get('ann_file'), node.get('data_prefix')
    root = node.get('data_root') or ''
    # mmengine takes the root itself where no name is given.
    for name in [name for name in _strings(names) if name] or ['']:
        path = os.path.join(root, name)
        if path and '://' not in path:
            yield Path(path)


def _strings(node: Any) -> Iterator[str]:
    """Every string in a nest of dicts and lists."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, (dict, list, tuple)):
        for child in node.values() if isinstance(node, dict) else node:
            yield from _strings(child)


def _indent(lines: Iterable) -> list[str]:
    return [f'  {line}' for line in lines]
