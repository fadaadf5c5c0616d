"""The best and the worst predictions of a run's last checkpoint, beside the truth."""
from copy import deepcopy
from pathlib import Path
from typing import NamedTuple

import mmcv
import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from mmengine.registry import DATASETS, MODELS, VISUALIZERS, DefaultScope
from mmengine.runner import load_checkpoint
from mmengine.structures import BaseDataElement
from rich.progress import track

from ..config import drop_pretrained, fit_to_cpu
from ..data.checks import check_data
from ..errors import UserError
from .runs import Run

# Of each kind, how many are shown.
SHOWN = 3
# At most, in pixels, truth and prediction together.
WIDTH = 1280
# As mmdet's visualizer draws.
SCORE_THRESHOLD = 0.3
HOW_SCORED = dict(
    mmseg="An image's score is its own mIoU, over the classes in its truth. Images of one class "
          'are left out: any model gets those right.',
    mmdet=f"An image's score is F1 of its boxes of {SCORE_THRESHOLD} or more: twice those that "
          'hit, at IoU 0.5 and with the right class, over predictions and truth together. Images '
          'without objects are left out.')


class Picture(NamedTuple):
    """An image, `source`, drawn with its truth on the left, its prediction on the right.

    `score` is 0 to 1.
    """

    path: Path
    score: float
    source: str


def draw_extremes(run: Run, count: int, folder: Path) -> tuple[list[Picture], ...]:
    """Predicts `count` validation images, evenly spaced; draws the best and worst into `folder`.

    Returns:
        Up to `SHOWN` of the best, best first; of the others as many of the worst, worst first.

    Raises:
        UserError: There is no checkpoint, or the data is not in place.
    """
    if run.checkpoint is None:
        raise UserError(f'{run.folder} holds no checkpoint yet')
    cfg = deepcopy(run.cfg)
    check_data(cfg, 'val')
    drop_pretrained(cfg)
    if get_device() == 'cpu':
        fit_to_cpu(cfg)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        dataset = DATASETS.build(cfg.val_dataloader.dataset)
        model = MODELS.build(cfg.model)
        load_checkpoint(model, str(run.checkpoint), map_location='cpu')
        model.to(get_device()).eval()
        score = dict(mmseg=score_labels, mmdet=score_boxes)[cfg.default_scope]
        indices = np.unique(np.linspace(0, len(dataset) - 1, count).round().astype(int))
        samples = []
        for index in track(indices, f'{run.folder}: predictions'):
            with torch.no_grad():
                sample, = model.test_step(pseudo_collate([dataset[index]]))
            if (value := score(sample)) is not None:
                samples.append((value, sample.cpu()))
        visualizer = VISUALIZERS.build(dict(cfg.visualizer, vis_backends=None, name='report'))
        visualizer.dataset_meta = dataset.metainfo
        samples.sort(key=lambda pair: -pair[0])
        folder.mkdir(parents=True, exist_ok=True)
        best = min(SHOWN, (len(samples) + 1) // 2)
        return tuple(
            [Picture(_draw(visualizer, sample, folder / f'{kind}_{rank}.jpg'), value,
                     sample.img_path) for rank, (value, sample) in enumerate(chosen, 1)]
            for kind, chosen in (('best', samples[:best]),
                                 ('worst', samples[best:][:-SHOWN - 1:-1])))


def score_labels(sample: BaseDataElement) -> float | None:
    """mIoU over the classes that a segmentor's sample has in its truth; None for less than two."""
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
    found = sample.pred_instances[sample.pred_instances.scores >= SCORE_THRESHOLD]
    hits = misses = 0
    for label in np.unique(found.labels):
        boxes = found[found.labels == label]
        hit, miss = tpfp_default(
            np.column_stack([boxes.bboxes, boxes.scores]), _boxes(truth, label),
            _boxes(ignored, label))
        hits, misses = hits + hit.sum(), misses + miss.sum()
    return float(2 * hits / (hits + misses + len(truth))) if len(truth) else None


def _boxes(instances: BaseDataElement, label: int) -> np.ndarray:
    boxes = instances[instances.labels == label].bboxes
    return np.asarray(getattr(boxes, 'tensor', boxes)).reshape(-1, 4)


def _draw(visualizer, sample: BaseDataElement, path: Path) -> Path:
    image = mmcv.imread(sample.img_path, channel_order='rgb')
    visualizer.add_datasample('', image, sample, out_file=str(path))
    drawn = mmcv.imread(path)
    if drawn.shape[1] > WIDTH:
        mmcv.imwrite(mmcv.imrescale(drawn, WIDTH / drawn.shape[1]), str(path))
    return path
