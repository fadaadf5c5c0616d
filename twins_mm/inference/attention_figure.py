"""Draws a backbone's feature pyramid, and where points of the image attend in each stage."""

from collections.abc import Sequence
from itertools import product

import cv2
import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .attention import Attention, AttentionMap, Box, Point, Stage

# Inches: a picture, the colour bar, a picture's two lines of text.
_COLUMN, _BAR, _TEXT = 1.6, 0.5, 0.4
_LARGEST = 30_000  # pixels of the figure; matplotlib draws 65,535, few programs show them
_LARGE, _SMALL = 7, 5.5  # points
_STAGE_COLORS = ('#00a6d6', '#1a9850', '#fdae00', '#d7301f')
# Multiples of uniform attention, on one scale, so that pictures can be compared.
_SCALE = 1, 10


def principal_components(level: torch.Tensor) -> tuple[np.ndarray, float]:
    """The first three principal components of a map `(C, H, W)`, as colours `(H, W, 3)`.

    Each is scaled from its 2nd to its 98th percentile to 0 to 1. Also returns their share of the
    variance.
    """
    tokens = level.detach().cpu().double().flatten(1).T
    tokens = tokens - tokens.mean(0)
    variances, directions = torch.linalg.eigh(tokens.T @ tokens)
    directions = directions[:, -3:].flip(1)
    # An eigenvector's sign is arbitrary; fixed by its largest entry, it gives the same picture.
    largest = directions.gather(0, directions.abs().argmax(0, keepdim=True))
    values = (tokens @ (directions * largest.sign())).numpy()
    low, high = np.percentile(values, (2, 98), axis=0)
    colors = ((values - low) / np.maximum(high - low, 1e-12)).clip(0, 1)
    share = variances[-3:].sum() / variances.sum().clamp(min=1e-12)
    return colors.reshape(*level.shape[1:], 3), share.item()


def draw_attention(image: np.ndarray, stages: Sequence[Stage], points: Sequence[Point]) -> Figure:
    """Draws the image and its pyramid, then each stage's last attentions, by kind, for each point.

    Args:
        image: The backbone's input, `(H, W, 3)`, RGB, uint8.
        stages: The backbone's stages for this image.
        points: (x, y) as fractions of width and height, so they also apply to resized images.
    """
    height, width = image.shape[:2]
    points = [(x * width, y * height) for x, y in points]
    kinds = [
        is_local for is_local in (True, False) if any(stage.last(is_local) for stage in stages)
    ]
    row_height = _COLUMN * height / width + _TEXT
    shape = 1 + len(points) * len(kinds), 1 + len(stages)
    size = _COLUMN * shape[1] + _BAR, row_height * shape[0]
    figure = Figure(size, dpi=min(200, _LARGEST / max(size)), layout='constrained')
    names = ' and '.join(
        next(last.module.title for stage in stages if (last := stage.last(is_local)))
        for is_local in kinds
    )
    figure.supxlabel(
        f'attention of the last {names} in each stage, mean of heads; 1 × is uniform attention, '
        'the same to every key' + '; LSA is enlarged around its window' * (True in kinds),
        fontsize=_SMALL,
    )
    axes = figure.subplots(*shape, squeeze=False, subplot_kw=dict(xticks=[], yticks=[]))
    _draw_pyramid(axes[0], image, stages, points)
    for row, (point, is_local) in zip(axes[1:], product(points, kinds)):
        attentions = [stage.last(is_local) for stage in stages]
        (_draw_local if is_local else _draw_global)(row, image, attentions, point)
    bar = figure.colorbar(
        ScalarMappable(LogNorm(*_SCALE), _COLORS),
        ax=axes[1:],
        pad=0.01,
        aspect=30,
        extend='max',
        ticks=[1, 2, 5, 10],
        format='%g ×',
    )
    bar.minorticks_off()
    bar.ax.tick_params(labelsize=_SMALL, length=1.5, pad=1)
    bar.outline.set_linewidth(0.4)
    return figure


def _make_color_map() -> ListedColormap:
    colors = colormaps['YlOrRd'](np.linspace(0.2, 1, 256))
    colors[:, 3] = np.linspace(0, 0.9, 256)
    return ListedColormap(colors)


# From transparent to opaque: where there is little attention, the picture is seen.
_COLORS = _make_color_map()


def _draw_pyramid(
    row: Sequence[Axes], image: np.ndarray, stages: Sequence[Stage], points: Sequence[Point]
) -> None:
    _show(row[0], image, f'image, {image.shape[1]} × {image.shape[0]}')
    for point in points:
        _mark(row[0], point)
    for number, (ax, stage) in enumerate(zip(row[1:], stages), 1):
        colors, share = principal_components(stage.level)
        channels, height, width = stage.level.shape
        _show(
            ax,
            image,
            f'stage {number}: 1/{stage.stride}, {channels} channels',
            f'3 components, {share:.0%} of variance',
        )
        ax.imshow(
            colors,
            extent=(0, width * stage.stride, height * stage.stride, 0),
            interpolation='nearest',
        )
        _zoom(ax, image)


def _draw_local(
    row: Sequence[Axes], image: np.ndarray, attentions: Sequence[Attention | None], point: Point
) -> None:
    _show(row[0], image, 'LSA: windows of the point')
    _mark(row[0], point)
    for number, (ax, attention) in enumerate(zip(row[1:], attentions), 1):
        if attention is None:
            ax.axis('off')
            continue
        seen = attention.attention_at(*point)
        side = attention.module.window_size
        _show(
            ax,
            image,
            f'stage {number}: LSA, {side} × {side} tokens',
            f'{side * attention.stride} × {side * attention.stride} pixels',
            faded=True,
        )
        _overlay(ax, seen)
        left, top, right, bottom = seen.box
        for target in (row[0], ax):
            target.add_patch(
                Rectangle(
                    (left, top),
                    right - left,
                    bottom - top,
                    fill=False,
                    linewidth=1.5,
                    zorder=3,
                    color=_STAGE_COLORS[(number - 1) % len(_STAGE_COLORS)],
                )
            )
        _zoom(ax, image, seen.box)
        _mark(ax, point)


def _draw_global(
    row: Sequence[Axes], image: np.ndarray, attentions: Sequence[Attention | None], point: Point
) -> None:
    first = next(attention for attention in attentions if attention)
    _show(row[0], image, f'{first.module.title}: cells of the keys')
    for number, (ax, attention) in enumerate(zip(row[1:], attentions), 1):
        if attention is None:
            ax.axis('off')
            continue
        seen = attention.attention_at(*point)
        rows, columns = seen.weights.shape
        left, top, right, bottom = seen.box
        if attention is first:
            line = dict(colors='white', linewidth=0.4)
            row[0].vlines(np.linspace(left, right, columns + 1), top, bottom, **line)
            row[0].hlines(np.linspace(top, bottom, rows + 1), left, right, **line)
        grid = getattr(attention.module, 'grid', None)
        _show(
            ax,
            image,
            f'stage {number}: {attention.module.title}, {columns} × {rows} keys',
            f'super tokens of {grid} × {grid}'
            if grid
            else f'sub-sampled by {attention.module.sr_ratio}',
            faded=True,
        )
        _overlay(ax, seen)
        _zoom(ax, image)
        _mark(ax, point)
    _zoom(row[0], image)
    _mark(row[0], point)


def _show(ax: Axes, image: np.ndarray, title: str, note: str = '', faded: bool = False) -> None:
    ax.imshow(
        cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if faded else image,
        cmap='gray',
        vmin=-255,
        vmax=255,
        extent=(0, image.shape[1], image.shape[0], 0),
    )
    ax.set_title(title, fontsize=_LARGE, pad=3)
    ax.set_xlabel(note, fontsize=_SMALL, labelpad=2)


def _overlay(ax: Axes, seen: AttentionMap) -> None:
    left, top, right, bottom = seen.box
    ax.imshow(
        (seen.weights / seen.weights.mean()).cpu().numpy(),
        cmap=_COLORS,
        norm=LogNorm(*_SCALE),
        extent=(left, right, bottom, top),
        interpolation='nearest',
    )


def _zoom(ax: Axes, image: np.ndarray, box: Box | None = None) -> None:
    """Limits the axes to the image, or to a box and its surroundings in the same shape.

    Otherwise a window of stage 1 would be a dot.
    """
    height, width = image.shape[:2]
    left, top, right, bottom = box or (0, 0, width, height)
    share = min(1, 1.6 * max(right - left, bottom - top) / min(height, width))
    x = np.clip((left + right - share * width) / 2, 0, (1 - share) * width)
    y = np.clip((top + bottom - share * height) / 2, 0, (1 - share) * height)
    ax.set_xlim(x, x + share * width)
    ax.set_ylim(y + share * height, y)


def _mark(ax: Axes, point: Point) -> None:
    for color, width, zorder in ('black', 2, 4), ('#00ff66', 1, 5):
        ax.plot(
            *point,
            'o',
            color=color,
            fillstyle='none',
            markersize=5,
            markeredgewidth=width,
            zorder=zorder,
        )
