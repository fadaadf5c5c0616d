"""Reads a visitor's photograph, which may be anything."""

from pathlib import Path, PurePath

import mmcv
import numpy as np
from PIL import Image

from ..errors import UserError
from ..files.images import IMAGE_SUFFIXES, read_image
from ..inference.frames import Frame

MAX_BYTES = 50 * 2**20
MAX_PIXELS = 100_000_000  # 300 MB when decoded
SHOWN_PIXELS = 2_000_000  # a model's input and a screen have fewer
_FORMATS = sorted({Image.registered_extensions()[suffix] for suffix in IMAGE_SUFFIXES})
_UNREADABLE = 'This file could not be read as an image. Use a JPEG or PNG file.'


def read_photograph(path: Path) -> tuple[Frame, str]:
    """Reads an image file, and reduces it to `SHOWN_PIXELS` if it has more.

    Returns:
        The photograph, named like the file; and its size in words.

    Raises:
        UserError: The file is not an image, or has more than `MAX_PIXELS`. The header says how
            many: a small file can describe an image that fills the memory.
    """
    try:
        with Image.open(path, formats=_FORMATS) as header:
            pixels = header.width * header.height
    except Image.DecompressionBombError:
        pixels = MAX_PIXELS + 1
    except (OSError, ValueError):
        raise UserError(_UNREADABLE) from None
    if pixels > MAX_PIXELS:
        raise UserError(
            f'This image has more than {MAX_PIXELS // 10**6} million pixels. Reduce it first.'
        )
    try:
        image = read_image(path, MAX_PIXELS / 1e6)
    except UserError:  # it names a flag of tools/predict.py
        raise UserError(_UNREADABLE) from None
    size = _size_of(image)
    if pixels > SHOWN_PIXELS:
        image = mmcv.imrescale(image, (SHOWN_PIXELS / pixels) ** 0.5, interpolation='area')
        size = f'{_size_of(image)}, reduced from {size}'
    return Frame(PurePath(path.name), image), size


def _size_of(image: np.ndarray) -> str:
    height, width = image.shape[:2]
    return f'{width} × {height} pixels'
