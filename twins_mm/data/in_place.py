"""Checks that the data is where a config expects it."""

import os
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..config import walk
from ..errors import UserError
from .data_sets import DATA_SETS


def find_missing(cfg: Config, *splits: str) -> dict[Path, str | None]:
    """The folders and annotation files of `splits` ('train', 'val', 'test') that don't exist.

    Covers data sets and evaluators, except for files on a server; the values are their types.
    Splits that the config doesn't have are skipped.
    """
    paths = _list_paths(cfg, splits)
    return {path.absolute(): kind for path, kind in paths.items() if not path.exists()}


def check_data(cfg: Config, *splits: str) -> None:
    """Checks that nothing of `splits` is missing.

    Raises:
        UserError: Something is; the message lists it, the expected layout, and fixes. Or an
            annotation file begins with a byte order mark.
    """
    missing = find_missing(cfg, *splits)
    if not missing:
        for path in _list_paths(cfg, splits):
            refuse_byte_order_mark(path)
        return
    lines = [
        'The data is not where the config expects it. Missing:',
        *(f'  {path}' for path in missing),
    ]
    fixes = [
        '  - pass its location:  --data-root DIR',
        '  - try the config on toy data first:  --toy',
        '  - see what else is missing:  python -m twins_mm.doctor',
    ]
    for name, data in DATA_SETS.items():
        if data.type in missing.values():
            folder = data.folder
            lines += [
                f'{data.title} is expected in {folder} under the current folder, or in --data-root:'
            ]
            lines += [
                f'  {pattern:42} {count:>8,}'
                for archive in data.archives
                for pattern, count in archive.contents.items()
            ]
            fixes[:0] = [
                '  - unpack the official archives:  '
                f'python tools/prepare_data.py {name} --archives DIR',
                f'  - link your copy:  mkdir -p {folder.parent} && '
                f'ln -s /path/to/{folder.name} {folder.parent}/',
            ]
    raise UserError('\n'.join([*lines, 'What you can do:', *fixes]))


def refuse_byte_order_mark(path: str | Path) -> None:
    """Refuses an annotation file that OpenMMLab's readers stumble over; other files pass.

    Raises:
        UserError: It begins with a byte order mark.
    """
    if os.path.isfile(path):
        with open(path, 'rb') as file:
            begins = file.read(len(BOM_UTF8)) == BOM_UTF8
        if begins:
            raise UserError(
                f'{path} begins with a byte order mark, as some editors on Windows add it. Save it '
                'as UTF-8 without one'
            )


def _list_paths(cfg: Config, splits: Iterable[str]) -> dict[Path, str | None]:
    """All paths in the configs of data sets and evaluators, and the type of what has them."""
    parts = [cfg.get(f'{split}_{part}') for split in splits for part in ('dataloader', 'evaluator')]
    return {path: node.get('type') for node in walk(parts) for path in _paths(node)}


def _paths(node: dict) -> Iterator[Path]:
    """The files and folders on disk in the config of a data set or an evaluator."""
    if (node.get('backend_args') or {}).get('backend', 'local') != 'local':
        return
    names = node.get('ann_file'), node.get('data_prefix')
    root = node.get('data_root') or ''
    # Without a name, mmengine uses the root itself.
    for name in [name for name in _strings(names) if name] or ['']:
        path = os.path.join(root, name)
        if path and '://' not in path:
            yield Path(path)


def _strings(node: Any) -> Iterator[str]:
    """Every string in nested dicts and lists."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, (dict, list, tuple)):
        for child in node.values() if isinstance(node, dict) else node:
            yield from _strings(child)
