"""Finds the user's images and videos by name, folder or glob, and reads them frame by frame."""
import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

import cv2
import mmcv
import numpy as np
from mmengine.dist import get_dist_info

from ..errors import UserError

IMAGE_SUFFIXES = {'.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.ppm', '.pgm'}
VIDEO_SUFFIXES = {'.mp4', '.avi', '.mov', '.mkv', '.webm', '.m4v', '.mpg', '.mpeg', '.wmv'}


class Frame(NamedTuple):
    """An image or a frame of a video.

    Attributes:
        name: A relative path that no other frame has.
        image: `(H, W, 3)`, BGR, uint8; None if it could not be read.
    """

    name: PurePath
    image: np.ndarray | None


class Images:
    """Image files, named by their paths relative to their common folder."""

    def __init__(self, paths: Iterable[Path]):
        self.paths = list(paths)
        self.root = os.path.commonpath([path.parent for path in self.paths])

    def share(self) -> None:
        """Keeps this process's part of the images in a distributed run.

        Files whose names differ only in their suffix stay together, because what is written for
        them has to be named apart.
        """
        rank, world_size = get_dist_info()
        stems = list(dict.fromkeys(path.with_suffix('') for path in self.paths))
        part = set(stems[rank::world_size])
        self.paths = [path for path in self.paths if path.with_suffix('') in part]

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[Frame]:
        for path in self.paths:
            yield Frame(path.relative_to(self.root), read_image(path))


class Video:
    """A video's frames, named by the video and their number, from 1.

    Raises:
        UserError: The video can't be read.
    """

    def __init__(self, path: Path):
        self.path = path
        self.reader = mmcv.VideoReader(str(path))
        if self.reader.frame_cnt < 1:
            raise UserError(f'Could not read the video {path}')

    @property
    def fps(self) -> float:
        return self.reader.fps or 25

    def __len__(self) -> int:
        return len(self.reader)

    def __iter__(self) -> Iterator[Frame]:
        for number, image in enumerate(self.reader, 1):
            yield Frame(PurePath(self.path.stem, f'{number:06}.jpg'), image)


def open_frames(names: Sequence[str], out: Path) -> Images | Video:
    """Opens files, folders (recursively), globs, or one video.

    Args:
        names: The user's arguments.
        out: The output folder, whose files are skipped.

    Raises:
        UserError: A name matches no image, or a video is not the only argument.
    """
    paths = list(dict.fromkeys(
        Path(os.path.abspath(path)) for name in names for path in _find(name, out)))
    if all(path.suffix.lower() not in VIDEO_SUFFIXES for path in paths):
        return Images(paths)
    if len(paths) > 1:
        raise UserError('Pass either images or a single video')
    return Video(paths[0])


def read_image(path: Path) -> np.ndarray | None:
    """Reads an image as OpenMMLab's pipelines do; None if the file is not an image."""
    try:
        return mmcv.imread(str(path))
    except (OSError, cv2.error):
        return None


def _find(name: str, out: Path) -> list[Path]:
    if os.path.isfile(name):
        return [Path(name)]
    if os.path.isdir(name):
        found = [path for path in Path(name).rglob('*') if path.suffix.lower() in IMAGE_SUFFIXES]
    else:
        found = [Path(path) for path in glob.glob(name, recursive=True)]
    found = sorted(path for path in found
                   if path.is_file() and out.absolute() not in path.absolute().parents)
    if not found:
        raise UserError(f'No image found: {name}')
    return found
