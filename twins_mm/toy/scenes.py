"""Scenes of plain shapes that differ only in their outlines, and roads."""

from collections.abc import Iterator
from colorsys import hsv_to_rgb
from typing import NamedTuple

import cv2
import numpy as np

# A disc, a rectangle and a triangle: the positions of the corners on the circumcircle, in degrees,
# clockwise from the right.
SHAPES = np.arange(0, 360, 7.5), np.array([28, 152, 208, 332]), np.array([50, 130, 270])
_TURN = 25
_RADII = 34, 58
_CROWD_RADIUS = 46
_CROWD_SIZE = 12
_GOLDEN_ANGLE = 137.508

# The square is there twice, so that half of the scenes are square.
_SIZES = (256, 256), (256, 256), (192, 256), (256, 192)
_MARGIN = 8
# The minimum distance of two circles, as a share of the sum of their radii.
_NEAREST = 0.85
_TRIES = 100

# A road: the horizon's share of the height, the edges of a line, and where poles may stand, as
# shares of the width.
_HORIZON = 0.4, 0.55
_SIDES = np.array([-1, 1])
_POLES = 0.15, 0.4, 0.6, 0.85

# Corners lie on a grid that cv2 (with these bits), float32 and JSON all represent exactly.
_FRACTION_BITS = 4
_GRID = 2**_FRACTION_BITS
_SUPERSAMPLING = 4


class Instance(NamedTuple):
    """A shape in a scene, or a crowd of tiny ones.

    `label` is an index into `SHAPES`, or one of `draw_road`'s. `outlines` are float32 polygons
    `(N, 2)` of x and y, in pixels from the image's corner: one for a shape, one per member for a
    crowd, a dash or a pole.
    """

    label: int
    outlines: list[np.ndarray]

    @property
    def is_crowd(self) -> bool:
        return len(self.outlines) > 1


# Ranges of saturation and value, 0 to 1: a backdrop's, and those of shapes that stand out from it.
_PALETTES = (
    ((0.15, 0.45), (0.8, 0.98), (0.65, 0.9), (0.5, 0.85)),
    ((0.45, 0.7), (0.2, 0.45), (0.35, 0.7), (0.85, 1)),
)


def draw_scene(
    rng: np.random.Generator, shapes: int, crowds: int = 0
) -> tuple[np.ndarray, list[Instance]]:
    """Draws shapes and crowds, except those that don't fit, on a backdrop.

    Returns the image, `(H, W, 3)`, uint8, BGR, and its instances, from back to front.
    """
    height, width = _SIZES[rng.integers(len(_SIZES))]
    *backdrop, saturation, value = _PALETTES[rng.integers(len(_PALETTES))]
    hue = rng.random()
    image = _draw_backdrop(rng, height, width, hue, *backdrop)
    circles, instances = [], []
    for is_crowd in [True] * crowds + [False] * shapes:
        radius = _CROWD_RADIUS if is_crowd else rng.uniform(*_RADII)
        centre = _find_centre(rng, radius, circles, (width, height))
        if centre is None:
            continue
        circles.append((centre, radius))
        label = int(rng.integers(len(SHAPES)))
        outline = _outline_crowd if is_crowd else _outline_shape
        instances.append(Instance(label, outline(rng, label, centre, radius)))
        strength = rng.uniform(*saturation)
        colour = _to_bgr(hue + rng.uniform(0.2, 0.8), strength, rng.uniform(*value))
        _paint(image, cover(instances[-1], height, width), colour)
    return image.clip(0, 255).round().astype(np.uint8), instances


def draw_road(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draws a road with lines of lanes, some of them broken, and poles with signs.

    Returns the image, `(H, W, 3)`, uint8, BGR, and its labels, `(H, W)`, uint8: 0 is the road, 1
    the sky, 2 a line, 3 a pole, 4 a sign.
    """
    height, width = _SIZES[rng.integers(len(_SIZES))]
    *backdrop, saturation, value = _PALETTES[rng.integers(len(_PALETTES))]
    hue = rng.random()
    horizon = int(height * rng.uniform(*_HORIZON))
    image = np.vstack(
        [
            _draw_backdrop(rng, horizon, width, rng.random(), *backdrop),
            _draw_backdrop(rng, height - horizon, width, hue, *backdrop),
        ]
    )
    labels = np.zeros((height, width), np.uint8)
    labels[:horizon] = 1
    lines = _outline_lines(rng, height, width, horizon)
    for thing in (lines, *_outline_poles(rng, width, horizon)):
        colour = _to_bgr(hue + rng.uniform(0.2, 0.8), rng.uniform(*saturation), rng.uniform(*value))
        covered = cover(thing, height, width)
        _paint(image, covered, colour)
        labels[covered > 0.5] = thing.label
    return image.clip(0, 255).round().astype(np.uint8), labels


def cover(instance: Instance, height: int, width: int) -> np.ndarray:
    """How much of each pixel an instance covers, hidden or not: `(H, W)`, float32, 0 to 1."""
    canvas = np.zeros((height * _SUPERSAMPLING, width * _SUPERSAMPLING), np.uint8)
    # In cv2, integers are the centres of pixels; here they are the corners.
    corners = [(outline * _SUPERSAMPLING - 0.5) * _GRID for outline in instance.outlines]
    cv2.fillPoly(canvas, [c.astype(np.int32) for c in corners], 255, shift=_FRACTION_BITS)
    return cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA) / np.float32(255)


def _find_centre(
    rng: np.random.Generator,
    radius: float,
    circles: list[tuple[np.ndarray, float]],
    size: tuple[int, int],
) -> np.ndarray | None:
    """A centre (x, y) for a circle that keeps its distance from others; None if none is found."""
    reach = radius + _MARGIN
    for _ in range(_TRIES):
        centre = rng.uniform(reach, np.subtract(size, reach))
        distances = (np.hypot(*(centre - other)) / (radius + r) for other, r in circles)
        if all(distance > _NEAREST for distance in distances):
            return centre
    return None


def _outline_shape(
    rng: np.random.Generator, label: int, centre: np.ndarray, radius: float
) -> list[np.ndarray]:
    """The polygon of a shape inside a circle, turned a little, as a list of one."""
    angles = np.radians(SHAPES[label] + rng.uniform(-_TURN, _TURN))
    corners = centre + radius * np.stack((np.cos(angles), np.sin(angles)), axis=1)
    return [(np.round(corners * _GRID) / _GRID).astype(np.float32)]


def _outline_lines(rng: np.random.Generator, height: int, width: int, horizon: int) -> Instance:
    """Lines that meet at the horizon; the dashes of broken ones grow towards the viewer."""
    meeting = np.array([rng.uniform(0.3, 0.7) * width, horizon])
    dashes = []
    for bottom in rng.permutation(np.linspace(-0.2, 1.2, 6))[: rng.integers(2, 5)]:
        edges = np.array([[bottom * width - half, height] for half in rng.uniform(1.5, 3) * _SIDES])
        count = 2 * rng.integers(2, 5) if rng.random() < 0.5 else 1
        distances = np.linspace(0.05, 1, count + 1)[:, None, None] ** 2
        bounds = meeting + distances * (edges - meeting)
        dashes += [np.float32([*far, *near[::-1]]) for far, near in zip(bounds[::2], bounds[1::2])]
    return Instance(2, dashes)


def _outline_poles(rng: np.random.Generator, width: int, horizon: int) -> Iterator[Instance]:
    """Upright poles on the ground, and a sign at the top of each."""
    poles, signs = [], []
    for share in rng.permutation(_POLES)[: rng.integers(1, len(_POLES) + 1)]:
        x, half = share * width + rng.uniform(-10, 10), rng.uniform(1.25, 2)
        top, foot = rng.uniform(0.3, 0.7) * horizon, rng.uniform(1, 1.3) * horizon
        poles.append(
            np.float32([[x - half, top], [x + half, top], [x + half, foot], [x - half, foot]])
        )
        outline = _outline_shape(
            rng, int(rng.integers(len(SHAPES))), np.array([x, top]), rng.uniform(8, 14)
        )
        signs.append(Instance(4, outline))
    yield Instance(3, poles)
    yield from signs


def _outline_crowd(
    rng: np.random.Generator, label: int, centre: np.ndarray, radius: float
) -> list[np.ndarray]:
    """The polygons of tiny shapes, spread over a circle like a sunflower's seeds."""
    outlines = []
    for member in range(_CROWD_SIZE):
        angle = np.radians(member * _GOLDEN_ANGLE)
        distance = 0.85 * radius * np.sqrt((member + 0.5) / _CROWD_SIZE)
        middle = centre + distance * np.array((np.cos(angle), np.sin(angle)))
        outlines += _outline_shape(rng, label, middle, 0.18 * radius)
    return outlines


def _draw_backdrop(
    rng: np.random.Generator,
    height: int,
    width: int,
    hue: float,
    saturation: tuple[float, float],
    values: tuple[float, float],
) -> np.ndarray:
    """Two similar hues that blend into each other: `(H, W, 3)`, float32."""
    tones = [
        _to_bgr(hue + rng.uniform(-0.08, 0.08), rng.uniform(*saturation), value) for value in values
    ]
    mix = np.zeros((height, width, 1), np.float32)
    for cells, share in (3, 0.7), (9, 0.2), (64, 0.1):
        noise = rng.random((cells, cells), np.float32)
        smooth = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
        mix += share * smooth[..., None]
    return tones[0] * mix + tones[1] * (1 - mix)


def _to_bgr(hue: float, saturation: float, value: float) -> np.ndarray:
    """Blue, green and red, 0 to 255, from hue in turns and saturation and value from 0 to 1."""
    return np.array(hsv_to_rgb(hue % 1, saturation, value)[::-1], np.float32) * 255


def _paint(image: np.ndarray, covered: np.ndarray, colour: np.ndarray) -> None:
    """Paints the covered part of a float32 image, in place, with relief and a soft shadow."""
    soft = cv2.GaussianBlur(covered, (0, 0), 5)
    light = cv2.Sobel(soft, -1, 1, 0) + cv2.Sobel(soft, -1, 0, 1)
    image *= 1 - 0.4 * soft[..., None]
    image += covered[..., None] * (colour * (1 + 0.4 * light[..., None]) - image)
