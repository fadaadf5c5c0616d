"""The renderer: draws what is predicted or annotated in an image.

Training's and `tools/test.py`'s pictures are drawn by OpenMMLab's hooks instead.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import count

import cv2
import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from ..tasks.base import Region, first_name

# As shares of the image's side, the root of its area.
_LINE, _LETTERS = 0.006, 0.03
_LEAST_LETTERS = 9  # pixels
_OPACITY = 0.5
_GAP = 8  # pixels between two pictures

Palette = Sequence[Sequence[int]]  # red, green and blue of each class, 0 to 255
Place = tuple[float, float, str]  # x, y, and which of a text's corners is there, as PIL names it


def draw(
    image: np.ndarray, regions: Sequence[Region], classes: Sequence[str], palette: Palette
) -> np.ndarray:
    """Draws regions over an image `(H, W, 3)`, BGR; returns a picture of the same size.

    Earlier regions are drawn over later ones. Lines and letters grow with the image.
    """
    picture = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    for region in reversed(regions):
        if region.mask is not None:
            _blend(picture, region.mask, palette[region.label])
    if not regions:
        return image.copy()
    canvas = Image.fromarray(picture)
    pen = ImageDraw.Draw(canvas)
    side = (image.shape[0] * image.shape[1]) ** 0.5
    font = _load_font(max(_LEAST_LETTERS, round(_LETTERS * side)))
    width = max(1, round(_LINE * side))
    places = list(_place_names(regions, image.shape[1], font.size))
    for region, place in zip(reversed(regions), reversed(places)):
        color = tuple(palette[region.label])
        if region.box is not None:
            left, top, right, bottom = np.sort(region.box.reshape(2, 2), 0).ravel().tolist()
            pen.rectangle((left, top, right, bottom), outline=color, width=width)
        if place is not None:
            _write(pen, font, place, _describe(region, classes), color, canvas.size)
    return cv2.cvtColor(np.asarray(canvas), cv2.COLOR_RGB2BGR)


def join(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Two pictures of the same size side by side."""
    return np.hstack([first, np.full((len(first), _GAP, 3), 255, np.uint8), second])


def _blend(picture: np.ndarray, mask: np.ndarray, color: Sequence[int]) -> None:
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    if width:
        inside = slice(y, y + height), slice(x, x + width)
        colored = np.full((height, width, 3), color, np.uint8)
        blended = cv2.addWeighted(picture[inside], 1 - _OPACITY, colored, _OPACITY, 0)
        cv2.copyTo(blended, mask[inside].view(np.uint8), picture[inside])


def _place_names(regions: Sequence[Region], width: int, letters: int) -> Iterator[Place | None]:
    """Where each region's name is written; None where there is no room for it."""
    lines = count()
    for region in regions:
        if region.box is not None:
            left, top, right, _ = np.asarray(region.box).tolist()
            # Above the box, or inside it near the top of the image.
            x, side = (left, 'l') if left < 0.7 * width else (right, 'r')
            yield x, top, side + ('d' if top > 1.5 * letters else 'a')
        elif region.mask is None:
            yield 0, 1.4 * letters * next(lines), 'la'
        elif np.count_nonzero(region.mask) > 10 * letters**2:
            yield (*_middle(region.mask), 'mm')
        else:
            yield None


def _middle(mask: np.ndarray) -> tuple[int, int]:
    """x and y of the middle pixel in the middle one of the rows with most of them."""
    counts = np.count_nonzero(mask, axis=1)
    rows = np.flatnonzero(counts == counts.max())
    y = rows[len(rows) // 2]
    columns = np.flatnonzero(mask[y])
    return int(columns[len(columns) // 2]), int(y)


def _describe(region: Region, classes: Sequence[str]) -> str:
    name = first_name(classes, region.label)
    return name if region.score is None else f'{name} {region.score:.2f}'


def _write(
    pen: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont,
    place: Place,
    text: str,
    color: tuple[int, ...],
    size: tuple[int, int],
) -> None:
    """Writes a text on a ground of its region's color, moved to where the picture shows it."""
    x, y, anchor = place
    box = np.array(pen.textbbox((x, y), text, font, anchor))
    x, y = np.array([x, y]) + np.maximum(-box[:2], 0) - np.maximum(box[2:] - size, 0)
    pen.rectangle(pen.textbbox((x, y), text, font, anchor), fill=color)
    is_light = np.dot(color, (0.299, 0.587, 0.114)) > 127
    pen.text((x, y), text, 'black' if is_light else 'white', font, anchor)


@cache
def _load_font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(font_manager.findfont('DejaVu Sans'), size)
