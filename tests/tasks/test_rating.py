import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample

from twins_mm.tasks import TASKS

SQUARE, FAR = [0, 0, 10, 10], [50, 50, 60, 60]


def instances(*items, **more):
    """Instances from pairs of a box and a label."""
    boxes, labels = zip(*items) if items else ((), ())
    return InstanceData(
        bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor(labels, dtype=torch.int64),
        **more,
    )


def detection(truth, found, scores=None, ignored=()):
    scores = torch.tensor(scores if scores else [0.9] * len(found))
    return DetDataSample(
        gt_instances=instances(*truth),
        ignored_instances=instances(*ignored),
        pred_instances=instances(*found, scores=scores),
    )


@pytest.mark.parametrize(
    ('sample', 'score'),
    [
        (detection([(SQUARE, 0), (FAR, 1)], [(SQUARE, 0), (FAR, 1)]), 1.0),
        (detection([(SQUARE, 0), (FAR, 1)], [(SQUARE, 0)]), 2 / 3),
        (detection([(SQUARE, 0)], [(SQUARE, 0), (FAR, 0)]), 2 / 3),
        (detection([(SQUARE, 0)], [(SQUARE, 1)]), 0.0),
        (detection([(SQUARE, 0)], [(SQUARE, 0), (SQUARE, 0)]), 2 / 3),
        (detection([(SQUARE, 0)], [([0, 0, 10, 4.9], 0)]), 0.0),
        (detection([(SQUARE, 0)], [([0, 0, 10, 5.1], 0)]), 1.0),
        (detection([(SQUARE, 0)], [(SQUARE, 0), (FAR, 0)], scores=[0.9, 0.29]), 1.0),
        (detection([(SQUARE, 0)], [(SQUARE, 0), (FAR, 0)], ignored=[(FAR, 0)]), 1.0),
        (detection([(SQUARE, 0)], []), 0.0),
        (detection([], [(SQUARE, 0)]), None),
        (detection([], []), None),
    ],
)
def test_score_of_boxes(sample, score):
    assert TASKS['detection'].rate(sample) == pytest.approx(score)


def segmentation(truth, found):
    return SegDataSample(
        gt_sem_seg=PixelData(data=torch.tensor([truth], dtype=torch.uint8)),
        pred_sem_seg=PixelData(data=torch.tensor([found])),
    )


@pytest.mark.parametrize(
    ('truth', 'found', 'score'),
    [
        ([[0, 0, 149, 149]], [[0, 0, 149, 149]], 1.0),
        # class 0: 1 of 2; class 1: 2 of 3
        ([[0, 0, 1, 1]], [[0, 1, 1, 1]], np.mean([1 / 2, 2 / 3])),
        # class 7 is not in the ground truth
        ([[0, 0, 0, 0, 1]], [[0, 0, 0, 7, 1]], np.mean([3 / 4, 1])),
        ([[0, 0, 1, 255]], [[0, 0, 1, 4]], 1.0),
        ([[0, 0, 255]], [[0, 0, 0]], None),
        ([[255, 255]], [[1, 2]], None),
    ],
)
def test_score_of_labels(truth, found, score):
    rate = TASKS['semantic_segmentation'].rate
    assert rate(segmentation(truth, found)) == pytest.approx(score)
