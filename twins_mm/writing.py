"""Writes files so that they are complete or absent."""
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a path to write to, with the suffix of `path`, which it replaces on success."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'partial_{path.name}')
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
