"""The best and the worst predictions of a run's last checkpoint, next to the ground truth."""
from copy import deepcopy
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from mmdet.visualization import get_palette
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from mmengine.registry import DATASETS, MODELS, DefaultScope
from mmengine.runner import load_checkpoint
from mmengine.structures import BaseDataElement, InstanceData
from rich.progress import track

from ..config import drop_pretrained, fit_to_cpu
from ..data.checks import check_data
from ..errors import UserError
from .drawing import draw_pair
from .work_dir import Run

# Of each kind, how many are shown.
SHOWN = 3
# As mmdet's visualizer draws.
SCORE_THRESHOLD = 0.3
HOW_SCORED = dict(
    mmseg="An image's score is its own mIoU, over the classes in its ground truth. Images of one "
          'class are left out: any model gets those right.',
    mmdet=f'Boxes are those of a score of {SCORE_THRESHOLD} or more. The score of an image is F1: '
          'twice the boxes that hit, at IoU 0.5 and with the right class, over predictions and '
          'ground truth together. Images without objects are left out.')


class Picture(NamedTuple):
    """An image, `source`, drawn with its ground truth and its prediction; `score` is 0 to 1."""

    path: Path
    score: float
    source: Path


class Extremes(NamedTuple):
    """The pictures, best first and worst first, and what was wrong with the images left out."""

    best: list[Picture]
    worst: list[Picture]
    failures: list[str]


def draw_extremes(run: Run, count: int, folder: Path) -> Extremes:
    """Predicts `count` validation images, evenly spaced; draws the best and worst into `folder`.

    Of each kind there are up to `SHOWN`, and no image is in both. An image that can't be read or
    predicted is left out.

    Raises:
        UserError: There is no checkpoint, or the data is not in place.
    """
    if run.checkpoint is None:
        raise UserError(f'{run.folder} holds no checkpoint yet')
    cfg = deepcopy(run.cfg)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        predictor = _Predictor(run.checkpoint, cfg)
        score = dict(mmseg=score_labels, mmdet=score_boxes)[cfg.default_scope]
        spread = np.linspace(0, len(predictor.dataset) - 1, count).round().astype(int)
        # Predictions are large: only scores are kept, and what is drawn is predicted once more.
        scores: dict[int, float] = {}
        failures = []
        for index in track(np.unique(spread).tolist(), f'{run.folder}: predictions'):
            try:
                value = score(predictor.predict(index))
            except Exception as error:  # a pipeline and a GPU may raise anything
                failures.append(f'{predictor.path_of(index).name}: {describe(error)}')
                continue
            if value is not None:
                scores[index] = value
        ranked = sorted(scores, key=lambda index: scores[index], reverse=True)
        best = min(SHOWN, (len(ranked) + 1) // 2)
        chosen = dict(best=ranked[:best], worst=ranked[best:][:-SHOWN - 1:-1])
        folder.mkdir(parents=True, exist_ok=True)
        pictures = {kind: [
            Picture(predictor.draw(index, folder / f'{kind}_{rank}.jpg'), scores[index],
                    predictor.path_of(index)) for rank, index in enumerate(indices, 1)]
            for kind, indices in chosen.items()}
        return Extremes(**pictures, failures=failures)


def describe(error: Exception) -> str:
    """What is said of an error in one line; a `UserError` needs no name."""
    name = '' if isinstance(error, UserError) else f'{type(error).__name__}: '
    return f'{name}{error}'.partition('\n')[0]


class _Predictor:
    """A checkpoint and the validation images of its config, which is changed."""

    def __init__(self, checkpoint: Path, cfg: Config):
        check_data(cfg, 'val')
        drop_pretrained(cfg)
        if get_device() == 'cpu':
            fit_to_cpu(cfg)
        self.dataset = DATASETS.build(cfg.val_dataloader.dataset)
        self.model = MODELS.build(cfg.model)
        load_checkpoint(self.model, str(checkpoint), map_location='cpu')
        self.model.to(get_device()).eval()

    @torch.no_grad()
    def predict(self, index: int) -> BaseDataElement:
        sample, = self.model.test_step(pseudo_collate([self.dataset[index]]))
        return sample

    def draw(self, index: int, path: Path) -> Path:
        sample = self.predict(index).cpu()
        if 'pred_instances' in sample:
            sample.pred_instances = _confident(sample.pred_instances)
        classes, palette = (self.dataset.metainfo.get(key) for key in ('classes', 'palette'))
        draw_pair(sample, classes, palette or get_palette('random', len(classes))).savefig(path)
        return path

    def path_of(self, index: int) -> Path:
        return Path(self.dataset.get_data_info(index)['img_path'])


def score_labels(sample: BaseDataElement) -> float | None:
    """mIoU over the classes in a segmentor's ground truth; None for less than two."""
    from mmseg.evaluation import IoUMetric
    truth, prediction = (data.data.squeeze().cpu()
                         for data in (sample.gt_sem_seg, sample.pred_sem_seg))
    # Labels from 0 to 254; 255 is what isn't labelled.
    intersect, union, _, area = IoUMetric.intersect_and_union(prediction, truth, 255, 255)
    present = area > 0
    return (intersect[present] / union[present]).mean().item() if present.sum() > 1 else None


def score_boxes(sample: BaseDataElement) -> float | None:
    """F1 of a detector's sample at IoU 0.5; None where there is nothing to find.

    What hits a crowd is neither right nor wrong.
    """
    from mmdet.evaluation.functional.mean_ap import tpfp_default
    sample = sample.cpu().numpy()
    truth, ignored = sample.gt_instances, sample.get('ignored_instances', sample.gt_instances[:0])
    found = _confident(sample.pred_instances)
    hits = misses = 0
    for label in np.unique(found.labels):
        boxes = found[found.labels == label]
        hit, miss = tpfp_default(
            np.column_stack([boxes.bboxes, boxes.scores]), _boxes(truth, label),
            _boxes(ignored, label))
        hits, misses = hits + hit.sum(), misses + miss.sum()
    return float(2 * hits / (hits + misses + len(truth))) if len(truth) else None


def _confident(instances: InstanceData) -> InstanceData:
    return instances[instances.scores >= SCORE_THRESHOLD]


def _boxes(instances: InstanceData, label: int) -> np.ndarray:
    boxes = instances[instances.labels == label].bboxes
    return np.asarray(getattr(boxes, 'tensor', boxes)).reshape(-1, 4)
