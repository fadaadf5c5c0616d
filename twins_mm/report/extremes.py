"""Draws the best and worst predictions of a run's last checkpoint next to the ground truth."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from mmengine.registry import DATASETS, DefaultScope
from mmengine.structures import BaseDataElement
from rich.progress import track

from ..data.in_place import find_missing
from ..errors import UserError, describe_error
from ..files.images import read_image
from ..inference.drawing import draw, join
from ..inference.pictures import write_image
from ..inference.predictor import Predictor
from .page import fit_page
from .run import Run

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
        when = 'any more' if (run.folder / 'last_checkpoint').exists() else 'yet'
        raise UserError(f'{run.folder} has no checkpoint {when}')
    if missing := find_missing(run.cfg, 'val'):
        raise UserError(
            f'the validation data is not there: {", ".join(map(str, missing))}. Run this in the '
            'folder in which the run was started, or pass --data-root DIR'
        )
    with DefaultScope.overwrite_default_scope(run.cfg.default_scope):
        images = _Images(run)
        spread = np.linspace(0, len(images.dataset) - 1, count).round().astype(int)
        # Predictions are large, so only scores are kept, and the drawn images are predicted again.
        scores: dict[int, float] = {}
        failures = []
        for index in track(np.unique(spread).tolist(), f'{run.folder}: predictions'):
            try:
                value = images.task.rate(images.predict(index))
            except Exception as error:  # a pipeline and a GPU may raise anything
                failures.append(f'{images.path_of(index).name}: {describe_error(error)}')
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
                    images.draw(index, folder / f'{kind}_{rank}.jpg'),
                    scores[index],
                    images.path_of(index),
                )
                for rank, index in enumerate(indices, 1)
            ]
            for kind, indices in chosen.items()
        }
        return pictures['best'], pictures['worst'], failures


class _Images:
    """A run's validation images, as its last checkpoint predicts them."""

    def __init__(self, run: Run):
        self.dataset = DATASETS.build(run.cfg.val_dataloader.dataset)
        self.predictor = Predictor(run.cfg, str(run.checkpoint))
        self.task = self.predictor.task

    def predict(self, index: int) -> BaseDataElement:
        (sample,) = self.predictor.predict([self.dataset[index]])
        return sample

    def draw(self, index: int, path: Path) -> Path:
        """Draws ground truth on the left and prediction on the right."""
        image, sample = read_image(self.path_of(index)), self.predict(index).cpu()
        meta = self.predictor.dataset_meta
        ground_truth = self.task.list_regions(sample.get(self.task.ground_truth))
        left = draw(image, ground_truth, meta['classes'], meta['palette'])
        right = self.predictor.draw(image, sample)
        write_image(path, join(fit_page(left), fit_page(right)))
        return path

    def path_of(self, index: int) -> Path:
        return Path(self.dataset.get_data_info(index)['img_path'])
