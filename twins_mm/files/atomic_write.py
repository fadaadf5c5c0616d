"""Writes files so that they are complete or absent."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

PARTIAL = 'partial_'


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a path to write to, with the suffix of `path`, which it replaces on success.

    Each call has its own, so processes may write one file at a time; the last one wins. A
    link stays, and the file that it leads to is replaced.
    """
    if path.is_symlink():
        path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'{PARTIAL}{uuid4().hex[:8]}_{path.name}')
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
