"""OpenMMLab's visualizers, with the same pictures in a fraction of the time."""

from collections.abc import Iterable
from types import MethodType

import cv2
import mmcv
import numpy as np
from mmengine.registry import VISBACKENDS
from mmengine.structures import BaseDataElement
from mmengine.visualization import BaseVisBackend, Visualizer

from .frames import Frame


@VISBACKENDS.register_module()
class LastPicture(BaseVisBackend):
    """Keeps the last picture, which the visualizer's `get_image` would render again."""

    experiment = None

    def __init__(self, save_dir: str | None = None):
        super().__init__(save_dir or '')

    def _init_env(self) -> None:
        pass

    def add_image(self, name: str, image: np.ndarray, step: int = 0, **kwargs) -> None:
        self.image = image


def speed_up(visualizer: Visualizer) -> None:
    """Replaces the two slow steps of mmdet's and mmseg's visualizers."""
    visualizer.draw_binary_masks = MethodType(blend_masks, visualizer)
    visualizer._get_center_loc = find_middle


def draw_with(
    visualizer: Visualizer, frame: Frame, sample: BaseDataElement, score_thr: float
) -> np.ndarray:
    """Draws a frame's prediction, BGR; boxes and masks need a score above `score_thr`.

    The visualizer has `LastPicture` among its backends.
    """
    np.random.seed(0)  # mmdet varies the colours of masks
    limit = dict(pred_score_thr=score_thr) if 'pred_instances' in sample else {}
    visualizer.add_datasample(
        str(frame.name), mmcv.bgr2rgb(frame.image), sample, draw_gt=False, **limit
    )
    return mmcv.rgb2bgr(visualizer.get_backend('LastPicture').image)


def blend_masks(
    visualizer: Visualizer,
    binary_masks: np.ndarray,
    colors: Iterable[tuple[int, ...]],
    alphas: float,
) -> Visualizer:
    """Draws masks like mmengine's `draw_binary_masks`, which blends the whole picture for each.

    Args:
        visualizer: What is drawn so far.
        binary_masks: `(N, H, W)`, bool.
        colors: RGB, one for each.
        alphas: Opacity of all.
    """
    picture = visualizer.get_image()
    for mask, color in zip(binary_masks, colors):
        x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
        if width:
            inside = slice(y, y + height), slice(x, x + width)
            colored = picture[inside].copy()
            colored[mask[inside]] = color
            picture[inside] = cv2.addWeighted(picture[inside], 1 - alphas, colored, alphas, 0)
    for hidden in visualizer.ax_save.images:
        hidden.remove()
    visualizer.ax_save.imshow(
        picture, extent=(0, visualizer.width, visualizer.height, 0), interpolation='nearest'
    )
    return visualizer


def find_middle(mask: np.ndarray) -> np.ndarray:
    """Like mmseg's `_get_center_loc`, which sorts a list of all pixels.

    Args:
        mask: `(H, W)`, 0 and 1; a class.

    Returns:
        Where its name is written: x, y of the middle pixel in the row with most of them.
    """
    y = np.count_nonzero(mask, axis=1).argmax()
    columns = np.flatnonzero(mask[y])
    return np.array([columns[len(columns) // 2], y])
