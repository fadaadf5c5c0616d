"""Predicts and draws frames with OpenMMLab's inferencers."""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, islice, repeat
from pkgutil import resolve_name

import numpy as np
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.infer import BaseInferencer
from mmengine.structures import BaseDataElement
from torch import nn

from ..checkpoints.load_model import load_model
from ..config import task_of
from .frames import Frame
from .visualizers import draw_with, speed_up


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

    cfg.visualizer = {
        **task.visualizer,
        **cfg.visualizer,
        'vis_backends': [dict(type='LastPicture')],
    }
    inferencer = Inferencer(cfg, checkpoint, scope=task.scope)
    speed_up(inferencer.visualizer)
    inferencer.visualizer.dataset_meta = inferencer.model.dataset_meta
    inferencer.show_progress = False
    return inferencer


def predict(
    inferencer: BaseInferencer, frames: Iterable[Frame], batch_size: int = 1
) -> Iterator[tuple[Frame, BaseDataElement | None]]:
    """Yields each frame with its prediction, or with None if it could not be read.

    A batch consists of consecutive frames of the same size: segmentors accept no others, and
    detectors would pad them.
    """
    for shape, same in groupby(frames, lambda frame: np.shape(frame.image)):
        if not shape:
            yield from zip(same, repeat(None))
        while batch := list(islice(same, batch_size)):
            results = inferencer(
                [frame.image for frame in batch], batch_size=len(batch), return_datasamples=True
            )
            if isinstance(results, dict):  # mmdet
                results = results['predictions']
            elif not isinstance(results, list):  # mmseg's for a single image
                results = [results]
            yield from zip(batch, results)


def draw_prediction(
    inferencer: BaseInferencer, frame: Frame, sample: BaseDataElement, score_thr: float
) -> np.ndarray:
    """Draws a frame's prediction, BGR; boxes and masks need a score above `score_thr`."""
    return draw_with(inferencer.visualizer, frame, sample, score_thr)
