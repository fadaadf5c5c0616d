"""What a run of many images has done, so that it goes on after a stop."""
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.dist import get_dist_info

from ..errors import UserError
from ..writing import replacing


class Progress:
    """A folder that exists as long as a run is unfinished.

    Each process appends a line to a file of its own when an image's pictures and labels are
    written: the image and, after a tab, its annotations, both as JSON. A line without an end was
    cut off when the process was killed, and doesn't count.

    Args:
        folder: Where the files are.
        arguments: All that results depend on; JSON-serializable.

    Attributes:
        done: Names of the images that any process had done before.

    Raises:
        UserError: An unfinished run had other arguments.
    """

    def __init__(self, folder: Path, arguments: Mapping[str, Any]):
        self.folder = folder
        arguments = json.loads(json.dumps(arguments, default=str))
        known = folder / 'arguments.json'
        if known.is_file():
            before = json.loads(known.read_text())
            changed = [key for key, value in arguments.items() if before.get(key) != value]
            if changed:
                raise UserError(
                    f'{folder.parent} has an unfinished run with other arguments '
                    f'({", ".join(changed)}). Repeat its command to finish it, pass another --out, '
                    f'or delete {folder} to begin anew')
        self.done = {name for part in self._parts() for name, _ in _scan(part)}
        rank, _ = get_dist_info()
        if rank == 0:
            with replacing(known) as partial:
                partial.write_text(json.dumps(arguments))
        folder.mkdir(parents=True, exist_ok=True)
        self._part = (folder / f'{rank}.jsonl').open('ab')
        self._part.truncate(sum(length for _, length in _scan(Path(self._part.name))))

    def add(self, line: str) -> None:
        """Notes that an image is done; `line` is from `to_line`."""
        self._part.write(line.encode())
        self._part.flush()

    def close(self) -> None:
        self._part.close()

    def records(self) -> Iterator[tuple[dict, list[dict]]]:
        """Images and their annotations, of all processes, sorted by name, one at a time."""
        index = []
        for part in self._parts():
            offset = 0
            for name, length in _scan(part):
                index.append((name, part, offset))
                offset += length
        files = {part: part.open() for part in self._parts()}
        try:
            for _, part, offset in sorted(index):
                files[part].seek(offset)
                image, _, annotations = files[part].readline().partition('\t')
                yield json.loads(image), json.loads(annotations)
        finally:
            for file in files.values():
                file.close()

    def remove(self) -> None:
        """Removes the folder: the run is complete."""
        shutil.rmtree(self.folder)

    def restart(self) -> None:
        """Forgets what is done, for a run that can't go on in the middle."""
        self.done.clear()
        self._part.truncate(0)

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


def _scan(part: Path) -> Iterator[tuple[str, int]]:
    """The name of each complete line's image, and the line's length in bytes."""
    with part.open('rb') as file:
        for line in file:
            if line.endswith(b'\n'):
                yield json.loads(line.partition(b'\t')[0])['file_name'], len(line)
