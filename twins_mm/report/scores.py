"""Scores the prediction for one image."""

import numpy as np
from mmengine.structures import BaseDataElement, InstanceData

SCORE_THRESHOLD = 0.3  # as in mmdet's visualizer


def score_labels(sample: BaseDataElement) -> float | None:
    """mIoU over the classes in a segmentor's ground truth; None for fewer than two."""
    from mmseg.evaluation import IoUMetric

    truth, prediction = (
        data.data.squeeze().cpu() for data in (sample.gt_sem_seg, sample.pred_sem_seg)
    )
    # Labels are 0 to 254; 255 means unlabelled.
    intersect, union, _, area = IoUMetric.intersect_and_union(prediction, truth, 255, 255)
    present = area > 0
    return (intersect[present] / union[present]).mean().item() if present.sum() > 1 else None


def score_boxes(sample: BaseDataElement) -> float | None:
    """F1 of a detector's sample at IoU 0.5; None if there are no objects.

    Boxes that match a crowd are ignored.
    """
    from mmdet.evaluation.functional.mean_ap import tpfp_default

    sample = sample.cpu().numpy()
    truth, ignored = sample.gt_instances, sample.get('ignored_instances', sample.gt_instances[:0])
    found = confident(sample.pred_instances)
    hits = misses = 0
    for label in np.unique(found.labels):
        boxes = found[found.labels == label]
        hit, miss = tpfp_default(
            np.column_stack([boxes.bboxes, boxes.scores]),
            _boxes(truth, label),
            _boxes(ignored, label),
        )
        hits, misses = hits + hit.sum(), misses + miss.sum()
    return float(2 * hits / (hits + misses + len(truth))) if len(truth) else None


def score_class(sample: BaseDataElement) -> float:
    """The probability that a classifier gives the true class."""
    return sample.pred_score[sample.gt_label].item()


def confident(instances: InstanceData) -> InstanceData:
    """The instances with a high enough score to be drawn and rated."""
    return instances[instances.scores >= SCORE_THRESHOLD]


def _boxes(instances: InstanceData, label: int) -> np.ndarray:
    boxes = instances[instances.labels == label].bboxes
    return np.asarray(getattr(boxes, 'tensor', boxes)).reshape(-1, 4)
