import numpy as np
import pytest
import torch
from mmcv.ops import batched_nms, nms
from operators import textbook
from operators.cases import NMS_LARGE_SETS, NMS_SETS, THRESHOLDS, nms_case

from mmcv_operators import nms as module
from mmcv_operators.nms import nms as operator


def test_indices_are_compiled_mmcvs(compiled):
    """2,000 sets of boxes: none, one, of no area, 10,000, with classes, with offset 1."""
    expected = np.split(compiled['kept'].astype(int), compiled['numbers'].cumsum()[:-1])
    assert len(expected) == NMS_SETS and max(map(len, expected)) > 1000
    for seed, indices in enumerate(expected):
        assert nms(**nms_case(seed))[1].tolist() == indices.tolist(), seed


@pytest.mark.parametrize('seed', range(NMS_LARGE_SETS, 60))
def test_indices_are_the_textbooks(seed):
    boxes, scores, threshold, offset = nms_case(seed).values()
    assert torch.equal(
        operator(boxes, scores, threshold, offset),
        textbook.nms(boxes, scores, np.float32(threshold), offset),
    )


def test_iou_at_the_threshold_is_kept():
    """IoUs of exactly 0.3 and 0.5; mmcv compares with the threshold in float32."""
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 3], [20, 0, 30, 10], [20, 0, 30, 5]])
    scores = torch.tensor([4.0, 3, 2, 1])
    for threshold, kept in ((0.3, [0, 1, 2]), (0.29999, [0, 2]), (0.5, [0, 1, 2, 3])):
        assert operator(boxes, scores, threshold, 0).tolist() == kept


def test_equal_scores_keep_the_first():
    boxes = torch.tensor([[0.0, 0, 10, 10]]).repeat(300, 1)
    assert operator(boxes, torch.ones(300), 0.5, 0).tolist() == [0]
    assert operator(boxes, torch.ones(300), 1.0, 0).tolist() == list(range(300))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions(dtype):
    case = nms_case(20)
    boxes, scores = case['boxes'].to(dtype), torch.arange(len(case['boxes'])).to(dtype)
    rounded = boxes.float() if dtype != torch.float64 else boxes
    assert torch.equal(operator(boxes, scores, 0.5, 0), operator(rounded, scores.float(), 0.5, 0))


def test_classes_do_not_suppress_each_other():
    boxes = torch.tensor([[0.0, 0, 10, 10]]).repeat(4, 1)
    kept = batched_nms(
        boxes,
        torch.tensor([0.1, 0.4, 0.3, 0.2]),
        torch.tensor([0, 1, 0, 1]),
        dict(type='nms', iou_threshold=0.5),
    )[1]
    assert kept.tolist() == [1, 2]


@pytest.mark.parametrize(
    ('boxes', 'scores', 'message'),
    [
        (3, [0.5, 0.4], 'a score for each box, not 2 for 3'),
        (2, [0.5, float('nan')], 'scores are NaN'),
    ],
)
def test_bad_input(boxes, scores, message):
    with pytest.raises(ValueError, match=message):
        operator(torch.rand(boxes, 4), torch.tensor(scores), 0.5, 0)


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('threshold', THRESHOLDS[:4])
def test_torchvisions_kernel(offset, threshold, torchvision, monkeypatch):
    """It compares with a double, wants scores in the boxes' dtype, and has no offset."""
    monkeypatch.setattr(module, 'find_torchvision', lambda _: torchvision)
    for seed in range(21, 28):
        boxes, scores = list(nms_case(seed).values())[:2]
        expected = textbook.nms(boxes, scores, np.float32(threshold), offset)
        assert torch.equal(operator(boxes, scores.double(), threshold, offset), expected)
    exact = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 3]]) - torch.tensor([0.0, 0, offset, offset])
    assert len(operator(exact, torch.tensor([1.0, 0]), threshold, offset)) == 1 + (threshold >= 0.3)
