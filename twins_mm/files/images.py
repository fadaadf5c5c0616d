"""Image files: which ones they are, and how each of them is read."""

import io
import math
from pathlib import Path

import cv2
import numpy as np
from mmengine.fileio import get
from PIL import Image

from ..errors import UserError

IMAGE_SUFFIXES = {'.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.ppm', '.pgm'}


def read_image(path: str | Path, max_megapixels: float = math.inf) -> np.ndarray:
    """Reads an image as OpenMMLab's pipelines do: `(H, W, 3)`, BGR, uint8, turned as EXIF says.

    Images of 16 bits a channel often have fewer: cameras store 10 or 12. They are divided by the
    power of two that makes their brightest value fit into 8 bits.

    Args:
        path: The file, or a URL that mmengine reads.
        max_megapixels: Larger images are refused, before they are decoded.

    Raises:
        UserError: The file is no image, incomplete or too large; the message doesn't name it.
    """
    try:
        content = get(path)
    except OSError as error:
        raise UserError(error.strerror or str(error)) from None
    _check(content, max_megapixels)
    try:
        image = cv2.imdecode(
            np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
        )
    except cv2.error as error:
        if 'MAX_IMAGE' in str(error):
            raise UserError(
                'too large for OpenCV: set the environment variable OPENCV_IO_MAX_IMAGE_PIXELS'
            ) from None
        image = None
    if image is None:
        raise UserError('not an image' if content else 'an empty file')
    if image.dtype == np.uint16:
        image = (image >> max(0, int(image.max()).bit_length() - 8)).astype(np.uint8)
    if image.dtype != np.uint8:
        raise UserError(f'pixels of type {image.dtype}; 8 or 16 bits a channel are read')
    return image


def _check(content: bytes, max_megapixels: float) -> None:
    """Refuses what OpenCV would decode to grey, or to more than fits into memory.

    Pillow says how large an image is before decoding it. What it doesn't know is left to OpenCV.
    """
    limit = max_megapixels * 1e6
    size, least = 0.0, ''
    try:
        with Image.open(io.BytesIO(content)) as image:
            size = image.width * image.height
            if size <= limit:
                image.draft('L', (1, 1))  # a JPEG in a half of the time: we only look for its end
                image.load()
    except Image.DecompressionBombError:
        size, least = 2.0 * (Image.MAX_IMAGE_PIXELS or 0), 'over '  # Pillow's own limit
    except Exception as error:  # of any kind, for a broken file
        if 'truncated' in str(error):
            raise UserError('truncated') from None
    if size > limit:
        raise UserError(
            f'{least}{size / 1e6:.0f} megapixels; the limit is --max-megapixels {max_megapixels:g}'
        )
