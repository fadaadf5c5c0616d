"""What a run of many images has done, so that it goes on after a stop."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.dist import get_dist_info

from ..errors import UserError


class Progress:
    """A folder that exists as long as a run is unfinished.

    Each process appends a line to a file of its own when an image's pictures and labels are
    written: the image and, after a tab, its annotations, both as JSON. The first line has the
    run's arguments. A line without an end was cut off when the process was killed, and doesn't
    count.

    Args:
        folder: Where the files are.
        arguments: All that results depend on; JSON-serializable.
        resume: Whether what was done before counts.

    Attributes:
        done: Names of the images that any process had done before.

    Raises:
        UserError: An unfinished run had other arguments.
    """

    def __init__(self, folder: Path, arguments: Mapping[str, Any], resume: bool = True):
        self.folder = folder
        first = json.dumps(arguments, default=str) + '\n'
        done = {part: {name for name, _ in _scan(part)} for part in self._parts()}
        for part in filter(done.get, done):
            _compare(part, first)
        self.done = set().union(*done.values()) if resume else set()
        folder.mkdir(parents=True, exist_ok=True)
        rank, _ = get_dist_info()
        own = folder / f'{rank}.jsonl'
        self._part = own.open('ab')
        self._part.truncate(_count_bytes(own) if resume and done.get(own) else 0)
        if not os.fstat(self._part.fileno()).st_size:
            self.add(first)

    def add(self, line: str) -> None:
        """Notes that an image is done; `line` is from `to_line`."""
        self._part.write(line.encode())
        self._part.flush()

    def close(self) -> None:
        self._part.close()

    def records(self) -> Iterator[tuple[dict, list[dict]]]:
        """Images and their annotations, of all processes, sorted by name, one at a time."""
        index = sorted(
            (name, part, offset) for part in self._parts() for name, offset in _scan(part)
        )
        files = {part: part.open() for part in self._parts()}
        try:
            for _, part, offset in index:
                files[part].seek(offset)
                image, _, annotations = files[part].readline().partition('\t')
                yield json.loads(image), json.loads(annotations)
        finally:
            for file in files.values():
                file.close()

    def remove(self) -> None:
        """Removes the folder: the run is complete."""
        shutil.rmtree(self.folder)

    def _parts(self) -> list[Path]:
        return sorted(self.folder.glob('*.jsonl'))


def to_line(image: dict, annotations: list[dict]) -> str:
    """The line for an image with a `file_name`; JSON contains no tab and no line break."""
    return f'{json.dumps(image)}\t{json.dumps(annotations)}\n'


def fingerprint(path: str) -> list:
    """What tells a file from the one that had its name before; a URL is told by its name."""
    if not os.path.isfile(path):
        return [path]
    status = os.stat(path)
    return [os.path.abspath(path), status.st_size, status.st_mtime_ns]


def _compare(part: Path, first: str) -> None:
    """Refuses a file whose first line differs."""
    with part.open() as file:
        found = file.readline()
    if found.endswith('\n') and found != first:
        before, now = json.loads(found), json.loads(first)
        changed = [key for key in now if before.get(key) != now[key]]
        raise UserError(
            f'{part.parent.parent} has an unfinished run with other arguments '
            f'({", ".join(changed)}). Repeat its command to finish it, pass another --out, or '
            f'delete {part.parent} to begin anew'
        )


def _scan(part: Path) -> Iterator[tuple[str, int]]:
    """The name of each image, and the position of its line."""
    with part.open('rb') as file:
        position = len(file.readline())
        for line in file:
            if line.endswith(b'\n'):
                yield json.loads(line.partition(b'\t')[0])['file_name'], position
            position += len(line)


def _count_bytes(part: Path) -> int:
    """The length of the complete lines."""
    with part.open('rb') as file:
        return sum(len(line) for line in file if line.endswith(b'\n'))
