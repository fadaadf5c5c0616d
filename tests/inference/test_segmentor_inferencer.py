from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.models.segmentors.base import BaseSegmentor
from mmseg.structures import SegDataSample
from mmseg.visualization import SegLocalVisualizer

from twins_mm.inference import segmentor_inferencer
from twins_mm.inference.segmentor_inferencer import find_labels, find_middle


@pytest.mark.parametrize(('classes', 'meta', 'labels'), [
    (150, {}, 100), (150, dict(padding_size=[1, 2, 3, 4]), 100),
    (150, dict(img_padding_size=[0, 3, 0, 2], padding_size=[9] * 4), 100),
    (3, dict(flip=True, flip_direction='horizontal'), 3), (1, {}, 2), (2, {}, 2)])
@pytest.mark.parametrize('align_corners', [True, False])
@pytest.mark.parametrize('small', [0, segmentor_inferencer._SMALL])
def test_labels_equal_mmsegs(classes, meta, labels, align_corners, small, monkeypatch):
    monkeypatch.setattr(segmentor_inferencer, '_SMALL', small)
    torch.manual_seed(0)
    logits = torch.randn(2, classes, 24, 31)
    logits = logits.round(decimals=1)  # so that classes tie: the first one counts
    model = SimpleNamespace(align_corners=align_corners,
                            decode_head=SimpleNamespace(threshold=0.3))

    def samples():
        return [SegDataSample(metainfo=dict(meta, ori_shape=(97, 84))) for _ in range(2)]

    def theirs(logits, samples):
        return BaseSegmentor.postprocess_result(model, logits, samples)

    for ours, expected in zip(find_labels(model, theirs, logits, samples()),
                              theirs(logits, samples())):
        ours, expected = ours.pred_sem_seg.data, expected.pred_sem_seg.data
        assert ours.equal(expected) and ours.dtype == expected.dtype
        assert len(ours.unique()) >= labels


@pytest.mark.parametrize('small', [0, 100, 10000])
def test_logits_are_not_kept(small, monkeypatch):
    monkeypatch.setattr(segmentor_inferencer, '_SMALL', small)
    model = SimpleNamespace(align_corners=False)
    sample, = find_labels(
        model, partial(BaseSegmentor.postprocess_result, model), torch.rand(1, 5, 4, 4),
        [SegDataSample(metainfo=dict(ori_shape=(8, 8)))])
    assert sample.keys() == ['pred_sem_seg']


def draw(labels, image, names):
    visualizer = SegLocalVisualizer(alpha=0.5)
    visualizer.dataset_meta = dict(
        classes=names, palette=[[40 * number, 255 - 40 * number, 9] for number in range(6)])
    if names is NAMES:
        visualizer._get_center_loc = find_middle
    visualizer.add_datasample(
        '', image, SegDataSample(pred_sem_seg=PixelData(data=labels)), draw_gt=False)
    return visualizer.get_image()


NAMES = ['wall', 'sky', 'tree', 'road', 'person', 'sea']


@pytest.mark.parametrize('seed', range(3))
def test_picture_equals_mmsegs(seed):
    random = np.random.default_rng(seed)
    image = random.integers(0, 256, (350, 410, 3), dtype=np.uint8)
    coarse = torch.tensor(random.integers(0, 6, (1, 7, 5)))
    labels = coarse.repeat_interleave(50, 1).repeat_interleave(82, 2)
    labels[:, random.integers(350), random.integers(410)] = 5
    assert np.array_equal(draw(labels, image, NAMES), draw(labels, image, list(NAMES)))


def test_middle_equals_mmsegs():
    random = np.random.default_rng(0)
    for density in (0.001, 0.1, 0.5, 1):
        mask = (random.random((40, 60)) <= density).astype(np.uint8)
        mask[random.integers(40), random.integers(60)] = 1
        expected = SegLocalVisualizer._get_center_loc(None, mask)
        assert find_middle(mask).tolist() == expected.tolist()
