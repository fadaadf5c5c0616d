from pathlib import PurePath

import cv2
import mmcv
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.visualization import DetLocalVisualizer
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample
from mmseg.visualization import SegLocalVisualizer
from twins_mm.inference.visualizers import draw_with, find_middle, speed_up

from twins_mm.inference.frames import Frame

META = dict(
    classes=['wall', 'sky', 'tree', 'road', 'person', 'sea'],
    palette=[(40 * number, 255 - 40 * number, 9) for number in range(6)],
)


def make_labels(random):
    coarse = torch.tensor(random.integers(0, 6, (1, 7, 5)))
    labels = coarse.repeat_interleave(50, 1).repeat_interleave(82, 2)
    labels[:, random.integers(350), random.integers(410)] = 5
    return SegDataSample(pred_sem_seg=PixelData(data=labels))


def make_objects(random, count=6):
    boxes, masks = [], np.zeros((count, 350, 410), np.uint8)
    for mask in masks[:-1]:  # one is empty
        x, y, size = (int(random.integers(high)) for high in (410, 350, 150))
        cv2.ellipse(mask, (x, y), (size, size // 2), 30, 0, 360, 1, -1)
        boxes.append([x - size, y - size, x + size, y + size])
    if count:
        boxes.append([0, 0, 9, 9])
    return DetDataSample(
        pred_instances=InstanceData(
            bboxes=torch.tensor(boxes).float().reshape(-1, 4),
            labels=torch.arange(count) % 6,
            scores=torch.linspace(1, 0.5, count),
            masks=torch.from_numpy(masks).bool(),
        )
    )


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize(
    ('visualizer', 'make'),
    [
        (SegLocalVisualizer, make_labels),
        (DetLocalVisualizer, make_objects),
        (DetLocalVisualizer, lambda random: make_objects(random, 0)),
    ],
    ids=['labels', 'objects', 'nothing'],
)
def test_pictures_are_openmmlabs(visualizer, make, seed):
    pytest.importorskip('matplotlib', '3.11')  # older ones shift pixels
    random = np.random.default_rng(seed)
    image = random.integers(0, 256, (350, 410, 3), dtype=np.uint8)
    sample = make(random)
    theirs = visualizer(alpha=0.5)
    theirs.dataset_meta = META
    np.random.seed(0)
    theirs.add_datasample('', mmcv.bgr2rgb(image), sample, draw_gt=False)
    ours = visualizer(alpha=0.5, vis_backends=[dict(type='LastPicture')])
    ours.dataset_meta = META
    speed_up(ours)
    picture = draw_with(ours, Frame(PurePath('x.jpg'), image), sample, 0.3)
    assert np.array_equal(picture, mmcv.rgb2bgr(theirs.get_image()))
    assert not np.array_equal(picture, image) or len(sample.get('pred_instances', [1])) == 0


def test_middle_is_mmsegs():
    random = np.random.default_rng(0)
    for density in (0.001, 0.1, 0.5, 1):
        mask = (random.random((40, 60)) <= density).astype(np.uint8)
        mask[random.integers(40), random.integers(60)] = 1
        expected = SegLocalVisualizer._get_center_loc(None, mask)
        assert find_middle(mask).tolist() == expected.tolist()
