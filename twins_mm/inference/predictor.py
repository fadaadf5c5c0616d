"""Predicts and draws frames with OpenMMLab's inferencers."""
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, islice, repeat
from pkgutil import resolve_name

import mmcv
import numpy as np
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.infer import BaseInferencer
from mmengine.registry import VISBACKENDS
from mmengine.structures import BaseDataElement
from mmengine.visualization import BaseVisBackend, Visualizer
from torch import nn

from ..checkpoints.trained import load_model
from ..config import task_of
from .frames import Frame


@VISBACKENDS.register_module()
class LastPicture(BaseVisBackend):
    """Keeps a visualizer's last picture, which its `get_image` would draw again."""

    experiment = None

    def __init__(self, save_dir: str | None = None):
        super().__init__(save_dir or '')

    def _init_env(self) -> None:
        pass

    def add_image(self, name: str, image: np.ndarray, step: int = 0, **kwargs) -> None:
        self.image = image


def build_inferencer(cfg: Config, checkpoint: str) -> BaseInferencer:
    """Builds OpenMMLab's inferencer for a config's task, on a GPU if there is one.

    Raises:
        UserError: The config belongs to no known task, or the checkpoint doesn't match it.
    """
    task = task_of(cfg)

    class Inferencer(resolve_name(task.inferencer)):  # type: ignore[misc]

        def _init_collate(self, cfg: Config) -> Callable:
            # Theirs returns the same, after a warning that it found no registry.
            return pseudo_collate

        def _init_model(self, cfg: Config, weights: str, device: str) -> nn.Module:
            return load_model(cfg, weights, device)

    cfg.visualizer = {**task.visualizer, **cfg.visualizer,
                      'vis_backends': [dict(type='LastPicture')]}
    inferencer = Inferencer(cfg, checkpoint, scope=task.scope)
    inferencer.visualizer.dataset_meta = inferencer.model.dataset_meta
    inferencer.show_progress = False
    return inferencer


def predict(inferencer: BaseInferencer, frames: Iterable[Frame], batch_size: int = 1
            ) -> Iterator[tuple[Frame, BaseDataElement | None]]:
    """Yields each frame with its prediction, or with None if it could not be read.

    A batch consists of consecutive frames of the same size: segmentors accept no others, and
    detectors would pad them.
    """
    for shape, same in groupby(frames, lambda frame: np.shape(frame.image)):
        if not shape:
            yield from zip(same, repeat(None))
        while batch := list(islice(same, batch_size)):
            results = inferencer([frame.image for frame in batch], batch_size=len(batch),
                                 return_datasamples=True)
            if isinstance(results, dict):  # mmdet
                results = results['predictions']
            elif not isinstance(results, list):  # mmseg's for a single image
                results = [results]
            yield from zip(batch, results)


def draw_prediction(inferencer: BaseInferencer, frame: Frame, sample: BaseDataElement,
                    score_thr: float) -> np.ndarray:
    """Draws a frame's prediction, BGR; boxes and masks need a score above `score_thr`."""
    return draw_with(inferencer.visualizer, frame, sample, score_thr)


def draw_with(visualizer: Visualizer, frame: Frame, sample: BaseDataElement, score_thr: float
              ) -> np.ndarray:
    """Like `draw_prediction`, with the visualizer of an inferencer."""
    np.random.seed(0)  # mmdet varies the colours of masks
    limit = dict(pred_score_thr=score_thr) if 'pred_instances' in sample else {}
    visualizer.add_datasample(
        str(frame.name), mmcv.bgr2rgb(frame.image), sample, draw_gt=False, **limit)
    return mmcv.rgb2bgr(visualizer.get_backend('LastPicture').image)
