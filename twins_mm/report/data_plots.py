"""Draws a data set's faults, and how large its objects and images are."""

from collections.abc import Sequence

import mmcv
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from mmengine.config import Config
from mmengine.registry import TASK_UTILS, DefaultScope

from ..config import walk
from ..data.survey import BINS_PER_OCTAVE, Survey
from ..files.images import read_image
from ..tasks.findings import Fault
from .axes import make_axes

_PANEL = 3.2  # inches


def draw_finding(finding: Fault) -> Figure:
    """The image of a finding, with the box in red, or with the label map as it is stored.

    Raises:
        Exception: The image can't be read, for any reason of a decoder's.
    """
    image = read_image(finding.path)[..., ::-1]
    images = [image]
    if finding.labels:
        # Pillow's backend reads the numbers of a palette; mmcv returns colours as BGR.
        labels = mmcv.imread(finding.labels, 'unchanged', backend='pillow').squeeze()
        images.append(labels if labels.ndim == 2 else labels[..., 2::-1])
    height, width = image.shape[:2]
    figure = Figure((_PANEL * len(images), _PANEL * height / width), dpi=150, layout='constrained')
    panels = figure.subplots(1, len(images), squeeze=False)[0]
    for axes, content in zip(panels, images):
        axes.set_axis_off()
        axes.imshow(content, cmap='tab20', interpolation='nearest')
    if finding.box:
        left, top, right, bottom = finding.box
        panels[0].add_patch(
            Rectangle((left, top), right - left, bottom - top, fill=False, color='red', linewidth=2)
        )
        # A box beyond the edge is shown, but the image stays visible.
        low, high = np.clip(
            [(left, top), (right, bottom)], (-width, -height), (2 * width, 2 * height)
        )
        panels[0].set_xlim(min(0, low[0] - 2), max(width, high[0] + 2))
        panels[0].set_ylim(max(height, high[1] + 2), min(0, low[1] - 2))
    return figure


def plot_object_sizes(surveys: Sequence[Survey], anchors: Sequence[float]) -> Figure:
    """How many objects have each size, as the network sees them, and its anchors."""
    figure, axes = make_axes(
        "size: square root of the box's area in pixels (logarithmic)", 'share of the objects'
    )
    for number, survey in enumerate(surveys):
        bins = sorted(survey.object_sizes)
        total = sum(survey.object_sizes.values())
        axes.plot(
            [2 ** (number / BINS_PER_OCTAVE) for number in bins],
            [survey.object_sizes[number] / total for number in bins],
            'o-',
            color=f'C{number}',
            label=survey.name,
        )
    for size in anchors:
        axes.axvline(
            size,
            color='black',
            alpha=0.25,
            linewidth=1,
            zorder=0,
            label='anchors' if size == anchors[0] else None,
        )
    axes.set_xscale('log', base=2)
    axes.xaxis.set_major_formatter('{x:,.0f}')
    axes.yaxis.set_major_formatter('{x:.0%}')
    axes.set_ylim(bottom=0)
    axes.legend()
    return figure


def plot_image_sizes(surveys: Sequence[Survey]) -> Figure:
    """The widths and heights of images; larger dots are more images."""
    figure, axes = make_axes('width in pixels', 'height in pixels')
    for number, survey in enumerate(surveys):
        sizes = np.array(list(survey.image_sizes))
        counts = np.array(list(survey.image_sizes.values()))
        axes.scatter(
            *sizes.T,
            s=20 + 300 * counts / counts.sum(),
            alpha=0.5,
            color=f'C{number}',
            label=survey.name,
            linewidth=0,
        )
    axes.set(xlim=(0, 1.15 * axes.dataLim.x1), ylim=(0, 1.15 * axes.dataLim.y1))
    for handle in axes.legend(loc='lower left').legend_handles:
        handle.set_sizes([40])
    return figure


def list_anchors(cfg: Config) -> list[float]:
    """The sizes of a detector's anchors, in pixels; none for other models."""
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        levels = [
            level
            for node in walk(cfg.model)
            if 'anchor_generator' in node
            for level in TASK_UTILS.build(node['anchor_generator']).base_anchors
        ]
    return sorted(
        {
            round(float(size))
            for level in levels
            for size in ((level[:, 2:] - level[:, :2]).prod(dim=1)).sqrt()
        }
    )
