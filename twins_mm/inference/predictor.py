"""Frames in, predictions and drawn pictures out, by OpenMMLab's inferencers."""
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, islice, repeat
from pkgutil import resolve_name

import mmcv
import numpy as np
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.infer import BaseInferencer
from mmengine.structures import BaseDataElement
from torch import nn

from ..checkpoints.trained import load_model
from ..config import task_of
from .frames import Frame


def build_inferencer(cfg: Config, checkpoint: str) -> BaseInferencer:
    """OpenMMLab's inferencer for the task of a config, on a GPU if there is one.

    Its model is that of `load_model`, so a checkpoint that doesn't fit is refused.

    Raises:
        UserError: The config is of no task that is known, or the checkpoint is not one of it.
    """
    task = task_of(cfg)

    class Inferencer(resolve_name(task.inferencer)):

        def _init_collate(self, cfg: Config) -> Callable:
            # What theirs returns too, after a warning that it found no registry to look in.
            return pseudo_collate

        def _init_model(self, cfg: Config, weights: str, device: str) -> nn.Module:
            return load_model(cfg, weights, device)

    cfg.visualizer = {**task.visualizer, **cfg.visualizer}
    cfg.visualizer.pop('vis_backends', None)  # nothing is to be logged
    inferencer = Inferencer(cfg, checkpoint, scope=task.scope)
    inferencer.visualizer.dataset_meta = inferencer.model.dataset_meta
    inferencer.show_progress = False
    return inferencer


def predict(inferencer: BaseInferencer, frames: Iterable[Frame], batch_size: int = 1
            ) -> Iterator[tuple[Frame, BaseDataElement | None]]:
    """Each frame with what is predicted for it, or with None if it could not be read.

    A batch is of consecutive frames of one size: segmentors take no others, and detectors would
    pad them.
    """
    for shape, same in groupby(frames, lambda frame: np.shape(frame.image)):
        if not shape:
            yield from zip(same, repeat(None))
        while batch := list(islice(same, batch_size)):
            results = inferencer([frame.image for frame in batch], batch_size=len(batch),
                                 return_datasamples=True)
            if isinstance(results, dict):  # mmdet's
                results = results['predictions']
            elif len(batch) == 1:  # mmseg's leaves out the list around one
                results = [results]
            yield from zip(batch, results)


def draw_prediction(inferencer: BaseInferencer, frame: Frame, sample: BaseDataElement,
         score_thr: float) -> np.ndarray:
    """A frame with its prediction, BGR; of boxes and masks those with a higher score."""
    limit = dict(pred_score_thr=score_thr) if 'pred_instances' in sample else {}
    inferencer.visualizer.add_datasample(
        str(frame.name), mmcv.bgr2rgb(frame.image), sample, draw_gt=False, **limit)
    return mmcv.rgb2bgr(inferencer.visualizer.get_image())
