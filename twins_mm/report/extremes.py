"""Draws the best and worst predictions of a run's last checkpoint next to the ground truth."""

from pathlib import Path
from pkgutil import resolve_name
from typing import NamedTuple

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from mmengine.registry import DATASETS, DefaultScope
from mmengine.structures import BaseDataElement
from rich.progress import track

from ..checkpoints.load_model import load_model
from ..config import task_of
from ..data.in_place import check_data
from ..errors import UserError
from .drawing import draw_pair
from .run import Run
from .scores import confident

# How many pictures of each kind are shown.
SHOWN = 3


class Picture(NamedTuple):
    """An image, `source`, drawn with its ground truth and its prediction; `score` is 0 to 1."""

    path: Path
    score: float
    source: Path


def draw_extremes(
    run: Run, count: int, folder: Path
) -> tuple[list[Picture], list[Picture], list[str]]:
    """Predicts `count` validation images, evenly spaced; draws the best and worst into `folder`.

    Returns up to `SHOWN` of the best and of the worst, the extremes first, and the errors of images
    that can't be read or predicted, which are left out. No image is in both.

    Raises:
        UserError: There is no checkpoint, or the data is not in place.
    """
    if run.checkpoint is None:
        raise UserError(f'{run.folder} has no checkpoint yet')
    check_data(run.cfg, 'val')
    with DefaultScope.overwrite_default_scope(run.cfg.default_scope):
        predictor = _Predictor(run)
        score = resolve_name(predictor.task.score)
        spread = np.linspace(0, len(predictor.dataset) - 1, count).round().astype(int)
        # Predictions are large, so only scores are kept, and the drawn images are predicted again.
        scores: dict[int, float] = {}
        failures = []
        for index in track(np.unique(spread).tolist(), f'{run.folder}: predictions'):
            try:
                value = score(predictor.predict(index))
            except Exception as error:  # a pipeline and a GPU may raise anything
                failures.append(f'{predictor.path_of(index).name}: {describe_error(error)}')
                continue
            if value is not None:
                scores[index] = value
        ranked = sorted(scores, key=lambda index: scores[index], reverse=True)
        best = min(SHOWN, (len(ranked) + 1) // 2)
        chosen = dict(best=ranked[:best], worst=ranked[best:][: -SHOWN - 1 : -1])
        folder.mkdir(parents=True, exist_ok=True)
        pictures = {
            kind: [
                Picture(
                    predictor.draw(index, folder / f'{kind}_{rank}.jpg'),
                    scores[index],
                    predictor.path_of(index),
                )
                for rank, index in enumerate(indices, 1)
            ]
            for kind, indices in chosen.items()
        }
        return pictures['best'], pictures['worst'], failures


def describe_error(error: Exception) -> str:
    """An error in one line, with its class unless it is a `UserError`."""
    name = '' if isinstance(error, UserError) else f'{type(error).__name__}: '
    return f'{name}{error}'.partition('\n')[0]


class _Predictor:
    """A run's last checkpoint and its validation images."""

    def __init__(self, run: Run):
        self.task = task_of(run.cfg)
        self.dataset = DATASETS.build(run.cfg.val_dataloader.dataset)
        self.model = load_model(run.cfg, str(run.checkpoint), get_device())

    @torch.no_grad()
    def predict(self, index: int) -> BaseDataElement:
        (sample,) = self.model.test_step(pseudo_collate([self.dataset[index]]))
        return sample

    def draw(self, index: int, path: Path) -> Path:
        sample = self.predict(index).cpu()
        if 'pred_instances' in sample:
            sample.pred_instances = confident(sample.pred_instances)
        meta = self.model.dataset_meta
        draw_pair(sample, self.task, meta['classes'], meta['palette']).savefig(path)
        return path

    def path_of(self, index: int) -> Path:
        return Path(self.dataset.get_data_info(index)['img_path'])
