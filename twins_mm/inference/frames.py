"""Finds the user's images and videos by name, folder or glob, and reads them frame by frame."""

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path, PurePath
from typing import NamedTuple

import cv2
import numpy as np
from mmengine.dist import get_dist_info

from ..errors import UserError
from ..files.images import IMAGE_SUFFIXES, read_image
from .prefetch import prefetch_map

VIDEO_SUFFIXES = {'.mp4', '.avi', '.mov', '.mkv', '.webm', '.m4v', '.mpg', '.mpeg', '.wmv'}
MAX_MEGAPIXELS = 64.0
# Decoding releases Python's lock: two threads read more than a hundred photographs a second.
_READERS = 2
_AHEAD = 4


class Frame(NamedTuple):
    """An image or a frame of a video.

    Attributes:
        name: A relative path that no other frame has.
        image: `(H, W, 3)`, BGR, uint8; None if it could not be read.
        reason: Why there is no image.
        keeps_suffix: Whether an earlier frame has the same name but for the suffix.
    """

    name: PurePath
    image: np.ndarray | None
    reason: str = ''
    keeps_suffix: bool = False

    def named(self, suffix: str) -> PurePath:
        """The name of a file about this frame: 'a.jpg', or 'a.png.jpg' if there is an 'a.jpg'."""
        return (
            self.name.with_name(self.name.name + suffix)
            if self.keeps_suffix
            else self.name.with_suffix(suffix)
        )

    @property
    def entry(self) -> dict:
        """What COCO's list of images says of it, without an id."""
        assert self.image is not None
        height, width = self.image.shape[:2]
        return dict(file_name=self.name.as_posix(), height=height, width=width)


class Images:
    """Image files, named by their paths relative to their common folder.

    Attributes:
        others: Files of the user's folders that are not read, with the reason.
    """

    def __init__(
        self,
        paths: Iterable[Path],
        max_megapixels: float = MAX_MEGAPIXELS,
        others: Sequence[tuple[Path, str]] = (),
    ):
        paths = list(paths)
        self.root = os.path.commonpath([path.parent for path in paths])
        self.max_megapixels = max_megapixels
        self.others = [(os.path.relpath(path, self.root), reason) for path, reason in others]
        self.names = [path.relative_to(self.root) for path in paths]
        self._keep_suffix = set(_list_ambiguous(self.names))

    def share(self) -> None:
        """Keeps this process's part of the images in a distributed run."""
        rank, world_size = get_dist_info()
        self.names = self.names[rank::world_size]

    def skip(self, names: set[str]) -> None:
        """Leaves out images, given by the names of their frames."""
        self.names = [name for name in self.names if name.as_posix() not in names]

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Frame]:
        with ThreadPoolExecutor(_READERS) as executor:
            yield from prefetch_map(executor, self._read, self.names, _AHEAD)

    def _read(self, name: PurePath) -> Frame:
        try:
            image, reason = read_image(Path(self.root, name), self.max_megapixels), ''
        except UserError as error:
            image, reason = None, str(error)
        return Frame(name, image, reason, name in self._keep_suffix)


class Video:
    """A video's frames, named by the video and their number, from 1.

    Its length is 0 if the file doesn't say it. If the video ends early, the last frame has no
    image, and the video's own name.

    Raises:
        UserError: The video can't be read.
    """

    def __init__(self, path: Path):
        self.path = path
        self.others: list[tuple[str, str]] = []
        self._capture = cv2.VideoCapture(str(path))
        if not self._capture.isOpened():
            raise UserError(f'Could not read the video {path}')
        # Not known for a recording that a browser made, or that was broken off.
        self._count = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))

    @property
    def fps(self) -> float:
        return self._capture.get(cv2.CAP_PROP_FPS) or 25

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Frame]:
        number = 0
        with ThreadPoolExecutor(1) as executor:
            for number, (read, image) in enumerate(
                prefetch_map(executor, lambda _: self._capture.read(), count(), _AHEAD)
            ):
                if not read:
                    break
                yield Frame(PurePath(self.path.stem, f'{number + 1:06}.jpg'), image)
        if not number:
            raise UserError(f'Could not read any frame of the video {self.path}')
        if number < self._count - 1:  # some containers only estimate the number
            yield Frame(
                PurePath(self.path.name),
                None,
                f'damaged or truncated: it ends after {number} of {self._count} frames',
            )


def open_frames(
    names: Sequence[str], out: Path, max_megapixels: float = MAX_MEGAPIXELS
) -> Images | Video:
    """Opens files, folders (recursively), globs, or one video.

    Args:
        names: The user's arguments.
        out: The output folder, whose files are skipped.
        max_megapixels: Larger images are not read.

    Raises:
        UserError: A name matches no image, or a video is not the only argument.
    """
    others: dict[Path, str] = {}
    paths = list(dict.fromkeys(path for name in names for path in _find(name, out, others)))
    if all(path.suffix.lower() not in VIDEO_SUFFIXES for path in paths):
        return Images(paths, max_megapixels, list(others.items()))
    if len(paths) > 1:
        raise UserError('Pass either images or a single video')
    return Video(paths[0])


def _list_ambiguous(names: Iterable[PurePath]) -> Iterator[PurePath]:
    """Names that an earlier one equals but for the suffix."""
    taken = set()
    for name in names:
        stem = name.with_suffix('')
        if stem in taken:
            yield name
        taken.add(name if stem in taken else stem)


def _find(name: str, out: Path, others: dict[Path, str]) -> list[Path]:
    """The images of an argument, as absolute paths; adds a folder's other files to `others`."""
    if os.path.isfile(name):
        return [Path(os.path.abspath(name))]
    is_folder = os.path.isdir(name)
    found = _walk(name, others) if is_folder else map(Path, glob.glob(name, recursive=True))
    own = out.resolve()
    files = sorted(
        path
        for path in (Path(os.path.abspath(path)) for path in found)
        if path.is_file() and own not in path.resolve().parents
    )
    if is_folder:
        others |= {
            path: _why_not(path) for path in files if path.suffix.lower() not in IMAGE_SUFFIXES
        }
        files = [path for path in files if path not in others]
    if not files:
        suffixes = ' '.join(sorted({path.suffix for path in others}))
        raise UserError(f'No image found: {name}' + (f', only {suffixes}' if suffixes else ''))
    return files


def _walk(folder: str, others: dict[Path, str]) -> Iterator[Path]:
    """All files in a folder and, once each, in those that it contains or links to.

    Hidden ones are left out, such as `._x.jpg`, which macOS adds to `x.jpg`. Folders that can't be
    read are added to `others`.
    """
    seen = set()

    def name_unreadable(error: OSError) -> None:
        others[Path(os.path.abspath(error.filename))] = error.strerror or 'cannot be read'

    for root, folders, names in os.walk(folder, onerror=name_unreadable, followlinks=True):
        real = os.path.realpath(root)
        if real in seen:  # a link may lead to a folder above it
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(sub for sub in folders if not sub.startswith('.'))
        yield from (Path(root, name) for name in names if not name.startswith('.'))


def _why_not(path: Path) -> str:
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return 'a video in a folder: pass it as the only argument'
    return f'{path.suffix or "no suffix"} is not among {" ".join(sorted(IMAGE_SUFFIXES))}'
