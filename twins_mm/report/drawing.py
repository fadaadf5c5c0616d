"""Draws what is in an image: a prediction alone, or next to its ground truth."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, repeat
from pkgutil import resolve_name
from typing import NamedTuple

import mmcv
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from mmengine.structures import BaseDataElement, InstanceData, PixelData

from ..inference.outputs import most_likely
from ..tasks import Task

# Inches: a picture's width; the heights of its title and of a legend line; the gaps between them.
_WIDTH, _TITLE, _LINE, _GAP = 2.4, 0.2, 0.17, 0.08
_ALONE = 3.2  # inches: the width of a picture of its own
_LARGE, _SMALL = 8, 6.5  # points
_COLUMNS, _MOST_CLASSES = 4, 12  # of the legend
_OPACITY = 140  # of 255


class _Region(NamedTuple):
    """A class of the image or of a label map, or an object: mask `(H, W)`, box in pixels, score."""

    label: int
    mask: np.ndarray | None
    box: np.ndarray | None = None
    score: float | None = None


def draw_pair(
    sample: BaseDataElement, task: Task, classes: Sequence[str], palette: Sequence
) -> Figure:
    """Draws a data sample's image with its ground truth, and with all its predictions.

    Boxes are labelled with their class and, if predicted, their score. A legend lists the classes
    of label maps, the largest first. The colours in `palette` are RGB, 0 to 255.
    """
    truth, prediction = (_regions(sample, task, name) for name in task.truth)
    return _draw_panels(
        sample.img_path, {'ground truth': truth, 'prediction': prediction}, classes, palette
    )


def draw_truth(
    sample: BaseDataElement, task: Task, classes: Sequence[str], palette: Sequence
) -> Figure:
    """Draws a data sample's image with its ground truth, as `draw_pair` does."""
    return _draw_panels(
        sample.img_path, {'': _regions(sample, task, task.truth[0])}, classes, palette
    )


def _regions(sample: BaseDataElement, task: Task, name: str) -> list[_Region]:
    return list(resolve_name(task.regions)(sample.get(name)))


def _draw_panels(
    path: str, panels: Mapping[str, list[_Region]], classes: Sequence[str], palette: Sequence
) -> Figure:
    """Draws regions over an image, one panel a title."""
    image = mmcv.imread(path, channel_order='rgb')
    palette = np.array(palette, np.uint8)
    pixels = Counter()
    for region in chain(*panels.values()):
        if region.box is None and region.mask is not None:
            pixels[region.label] += int(region.mask.sum())
    legend = [
        Patch(color=palette[label] / 255, label=classes[label])
        for label, _ in pixels.most_common(_MOST_CLASSES)
    ]

    picture = _WIDTH * image.shape[0] / image.shape[1]
    columns = _COLUMNS * len(panels) // 2
    lines = _LINE * -(-len(legend) // columns)
    figure = Figure(
        (len(panels) * (_WIDTH + _GAP), _TITLE * any(panels) + picture + lines + _GAP),
        dpi=200,
        layout='constrained',
    )
    for axes, title in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels):
        axes.set_title(title, fontsize=_LARGE, pad=3)
        axes.set_axis_off()
        axes.imshow(image)
        _draw(axes, panels[title], classes, palette)
    if legend:
        figure.legend(
            handles=legend,
            loc='outside lower center',
            ncols=columns,
            fontsize=_SMALL,
            frameon=False,
            borderpad=0,
            labelspacing=0.3,
            handlelength=1,
        )
    return figure


def draw_regions(
    image: np.ndarray, regions: Sequence[_Region], classes: Sequence[str], palette: Sequence
) -> np.ndarray:
    """Draws regions over an image `(H, W, 3)`, RGB; returns the same size and type.

    Lines and letters grow with the image, so they can be read at any size of the screen.
    """
    height, width = image.shape[:2]
    dpi = width / _ALONE
    figure = Figure(((width + 1e-3) / dpi, (height + 1e-3) / dpi), dpi=dpi)  # it rounds down
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.imshow(image, aspect='auto')
    _draw(axes, regions, classes, np.array(palette, np.uint8))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def list_classes(labels: PixelData) -> Iterator[_Region]:
    """Yields a region for each class of a label map."""
    labels = labels.data.squeeze(0).cpu().numpy()
    for label in np.unique(labels[labels != 255]):
        yield _Region(label, labels == label)


def list_labels(values: torch.Tensor) -> Iterator[_Region]:
    """Yields a region for each true class of an image, or for the most likely of all scores."""
    if not values.is_floating_point():
        for label in values.tolist():
            yield _Region(label, None)
        return
    for label in most_likely(values):
        yield _Region(label, None, score=values[label].item())


def list_objects(instances: InstanceData) -> Iterator[_Region]:
    """Yields a region for each predicted or ground-truth object."""
    masks = instances.get('masks', repeat(None))
    if hasattr(masks, 'to_ndarray'):
        masks = masks.to_ndarray()
    boxes = getattr(instances.bboxes, 'tensor', instances.bboxes)
    scores = instances.get('scores', repeat(None))
    for label, mask, box, score in zip(instances.labels, masks, boxes, scores):
        yield _Region(
            int(label),
            mask if mask is None else np.asarray(mask, bool),
            np.asarray(box),
            score if score is None else float(score),
        )


def _draw(
    axes: Axes, regions: Sequence[_Region], classes: Sequence[str], palette: np.ndarray
) -> None:
    height, width = axes.images[0].get_size()
    overlay = np.zeros((height, width, 4), np.uint8)
    for region in regions:
        if region.mask is not None:
            overlay[region.mask] = *palette[region.label], _OPACITY
    axes.imshow(overlay, aspect=axes.get_aspect())
    if whole := [one for one in regions if one.box is None and one.mask is None]:
        name = classes[whole[0].label].partition(',')[0]
        axes.set_title(f'{axes.get_title()}: {name}', fontsize=_LARGE, pad=3)
    for label, _, box, score in regions:
        if box is None:
            continue
        (left, top, right, bottom), color = box, palette[label] / 255
        axes.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, color=color))
        name = classes[label] if score is None else f'{classes[label]} {score:.2f}'
        # Above the box, or inside it near the top of the image.
        x, align = (left, 'left') if left < 0.7 * width else (right, 'right')
        is_light = color @ (0.299, 0.587, 0.114) > 0.5
        axes.text(
            x,
            top,
            name,
            ha=align,
            va='bottom' if top > 0.07 * height else 'top',
            clip_on=True,
            fontsize=_SMALL,
            color='black' if is_light else 'white',
            bbox=dict(facecolor=color, linewidth=0, pad=1),
        )
