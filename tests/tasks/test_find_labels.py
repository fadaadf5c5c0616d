from functools import partial
from types import SimpleNamespace

import pytest
import torch
from mmseg.models.segmentors.base import BaseSegmentor
from mmseg.structures import SegDataSample

from twins_mm.tasks import find_labels as module
from twins_mm.tasks.find_labels import find_labels


@pytest.mark.parametrize(
    ('classes', 'meta', 'labels'),
    [
        (150, {}, 100),
        (150, dict(padding_size=[1, 2, 3, 4]), 100),
        (150, dict(img_padding_size=[0, 3, 0, 2], padding_size=[9] * 4), 100),
        (3, dict(flip=True, flip_direction='horizontal'), 3),
        (1, {}, 2),
        (2, {}, 2),
    ],
)
@pytest.mark.parametrize('align_corners', [True, False])
@pytest.mark.parametrize('small', [0, module._SMALL])
def test_labels_equal_mmsegs(classes, meta, labels, align_corners, small, monkeypatch):
    monkeypatch.setattr(module, '_SMALL', small)
    torch.manual_seed(0)
    logits = torch.randn(2, classes, 24, 31)
    logits = logits.round(decimals=1)  # so that classes tie: the first one counts
    model = SimpleNamespace(align_corners=align_corners, decode_head=SimpleNamespace(threshold=0.3))

    def samples():
        return [SegDataSample(metainfo=dict(meta, ori_shape=(97, 84))) for _ in range(2)]

    def theirs(logits, samples):
        return BaseSegmentor.postprocess_result(model, logits, samples)

    for ours, expected in zip(
        find_labels(model, theirs, logits, samples()), theirs(logits, samples())
    ):
        ours, expected = ours.pred_sem_seg.data, expected.pred_sem_seg.data
        assert ours.equal(expected) and ours.dtype == expected.dtype
        assert len(ours.unique()) >= labels


@pytest.mark.parametrize('small', [0, 100, 10000])
def test_logits_are_not_kept(small, monkeypatch):
    monkeypatch.setattr(module, '_SMALL', small)
    model = SimpleNamespace(align_corners=False)
    (sample,) = find_labels(
        model,
        partial(BaseSegmentor.postprocess_result, model),
        torch.rand(1, 5, 4, 4),
        [SegDataSample(metainfo=dict(ori_shape=(8, 8)))],
    )
    assert sample.keys() == ['pred_sem_seg']
