"""The one way from images to predictions."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice, repeat
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.device import get_device
from mmengine.registry import DefaultScope
from mmengine.structures import BaseDataElement

from ..checkpoints.load_model import load_model
from ..config import test_steps
from ..errors import describe_error
from ..files.images import read_image
from ..files.shipped import resolve
from ..tasks import Task, task_of
from ..tasks.base import SCORE_THRESHOLD, Region, is_confident
from .drawing import draw
from .frames import Frame


class Predictor:
    """Predicts with a trained model as its config tests it.

    >>> predictor = Predictor('configs/retinanet_twins_svt_s_1x.py', 'retinanet.pth')
    >>> sample = predictor('street.jpg')
    >>> sample.pred_instances.bboxes.shape
    torch.Size([100, 4])
    >>> picture = predictor.draw('street.jpg', sample)

    Args:
        config: A config, its file, or `twins_mm::NAME` for one of ours.
        checkpoint: A file, a URL, or hf://ORG/NAME.
        device: By default a GPU, if there is one.

    Attributes:
        task: The config's entry of `TASKS`.
        model: In evaluation.
        dataset_meta: The names and colours of its classes.

    Raises:
        UserError: The config belongs to no known task, or the checkpoint doesn't match it.
    """

    def __init__(
        self,
        config: Config | str | Path,
        checkpoint: str | Path,
        device: str | torch.device | None = None,
    ):
        cfg = config if isinstance(config, Config) else Config.fromfile(resolve(str(config)))
        self.task = task_of(cfg)
        self.model = load_model(cfg, str(checkpoint), device or get_device())
        self.task.prepare(self.model)
        self.cfg, self.dataset_meta = self.model.cfg, self.model.dataset_meta
        with DefaultScope.overwrite_default_scope(self.cfg.default_scope):
            self._pipeline = Compose(test_steps(self.cfg))

    def __call__(self, image: str | Path | np.ndarray) -> BaseDataElement:
        """Predicts one image: a file, or `(H, W, 3)`, BGR, uint8.

        Returns:
            OpenMMLab's data sample, with `pred_instances`, `pred_sem_seg` or `pred_score`.

        Raises:
            UserError: The file is no image.
        """
        return self.predict([self._prepare(_read(image))])[0]

    @torch.no_grad()
    def predict(self, inputs: Sequence[dict]) -> list[BaseDataElement]:
        """Predicts what a pipeline has prepared, all of one size."""
        return self.model.test_step(pseudo_collate(inputs))

    def predict_frames(
        self, frames: Iterable[Frame], batch_size: int = 1
    ) -> Iterator[tuple[Frame, BaseDataElement | None]]:
        """Yields each frame with its prediction, or with None if it can't be read or predicted.

        A batch consists of consecutive frames of the same size: segmentors accept no others, and
        detectors would pad them.
        """
        for shape, same in groupby(frames, lambda frame: np.shape(frame.image)):
            if not shape:
                yield from zip(same, repeat(None))
            while batch := list(islice(same, batch_size)):
                yield from self._predict_batch(batch)

    def _predict_batch(self, batch: list[Frame]) -> list[tuple[Frame, BaseDataElement | None]]:
        """Predicts a batch; one that fails, image by image, so that an odd one costs no other."""
        try:
            inputs = [self._prepare(frame.image) for frame in batch]
            return list(zip(batch, self.predict(inputs)))
        except Exception as error:  # of the pipeline or the model, or out of GPU memory
            if sys.flags.dev_mode:
                raise
            reason = f'the model fails: {describe_error(error)}'
        if len(batch) > 1:
            return [pair for frame in batch for pair in self._predict_batch([frame])]
        return [(batch[0]._replace(image=None, reason=reason), None)]

    def list_regions(
        self, sample: BaseDataElement, score_thr: float = SCORE_THRESHOLD
    ) -> list[Region]:
        """What is predicted, see `confident_regions`."""
        return confident_regions(self.task, sample, score_thr)

    def draw(
        self,
        image: str | Path | np.ndarray,
        sample: BaseDataElement,
        score_thr: float = SCORE_THRESHOLD,
    ) -> np.ndarray:
        """Draws a prediction on its image, `(H, W, 3)`, BGR."""
        return draw(
            _read(image),
            self.list_regions(sample, score_thr),
            self.dataset_meta['classes'],
            self.dataset_meta['palette'],
        )

    def _prepare(self, image: np.ndarray) -> dict:
        shape = image.shape[:2]
        return self._pipeline(
            dict(img=image, img_id=0, img_path='', img_shape=shape, ori_shape=shape)
        )


def confident_regions(task: Task, sample: BaseDataElement, score_thr: float) -> list[Region]:
    """What is predicted, the highest scores or the largest areas first.

    Objects need a higher score than `score_thr`.
    """
    regions = task.list_regions(sample.get(task.prediction))
    if task.has_scores:
        regions = [region for region in regions if is_confident(region.score, score_thr)]
    return sorted(regions, key=_weight, reverse=True)


def _weight(region: Region) -> float:
    return np.count_nonzero(region.mask) if region.score is None else region.score


def _read(image: str | Path | np.ndarray) -> np.ndarray:
    return image if isinstance(image, np.ndarray) else read_image(Path(image))
