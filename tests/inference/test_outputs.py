import json
import sys
from pathlib import PurePath
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmdet.datasets import CocoDataset
from mmdet.structures import DetDataSample
from mmdet.structures.mask import encode_mask_results
from mmengine.structures import InstanceData
from pycocotools.coco import COCO

from twins_mm.inference.frames import Frame
from twins_mm.inference.outputs import CocoFile, LabelFolder, to_coco_annotations, write_video


def make_frame(name='x.jpg'):
    return Frame(PurePath(name), np.zeros((48, 64, 3), np.uint8))


@pytest.mark.parametrize(
    ('reduce_zero_label', 'classes', 'expected', 'dtype'),
    [
        (True, 150, [1, 150], np.uint8),
        (False, 150, [0, 149], np.uint8),
        (None, 300, [0, 299], np.uint16),
    ],
)
def test_labels_have_the_data_sets_numbers(reduce_zero_label, classes, expected, dtype, tmp_path):
    meta = dict(classes=range(classes), reduce_zero_label=reduce_zero_label)
    sample = SimpleNamespace(pred_sem_seg=SimpleNamespace(data=torch.tensor([[[0, classes - 1]]])))
    assert LabelFolder(tmp_path, meta).add(make_frame(), sample) == []
    labels = cv2.imread(str(tmp_path / 'x.png'), cv2.IMREAD_UNCHANGED)
    assert labels.tolist() == [expected] and labels.dtype == dtype


@pytest.mark.parametrize(
    ('classes', 'expected'),
    [
        (CocoDataset.METAINFO['classes'], {'person': 1, 'stop sign': 13, 'toothbrush': 90}),
        (('ball', 'tent'), {'ball': 1, 'tent': 2}),
    ],
)
def test_categories_have_cocos_ids(classes, expected, tmp_path):
    path = tmp_path / 'predictions.json'
    CocoFile(path, dict(classes=classes)).finish([])
    numbers = {one['name']: one['id'] for one in json.loads(path.read_text())['categories']}
    assert list(numbers) == list(classes)
    assert numbers.items() >= expected.items()


@pytest.fixture(params=['h264', 'FMP4'])
def codec(request, monkeypatch):
    """The codec of videos, with and without PyAV."""
    if request.param == 'FMP4':
        monkeypatch.setitem(sys.modules, 'av', None)
    return request.param


@pytest.mark.parametrize('size', [(48, 64), (49, 65)])
def test_video_appears_when_it_is_complete(size, codec, tmp_path, capsys):
    path = tmp_path / 'new/clip.mp4'
    with write_video(path, 5) as add:
        for shade in (0, 100, 200):
            add(np.full((*size, 3), shade, np.uint8))
        assert not path.exists()
    assert ('pip install av' in capsys.readouterr().out) == (codec != 'h264')
    video = cv2.VideoCapture(str(path))
    assert video.get(cv2.CAP_PROP_FPS) == 5
    assert int(video.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, 'little').decode() == codec
    shades = [video.read()[1].mean() for _ in range(3)]
    assert shades == pytest.approx([0, 100, 200], abs=6)
    assert not video.read()[0]
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize('what', ['boxes', 'masks', 'both', 'nothing'])
def test_annotations_are_cocos(what):
    masks = torch.zeros(2, 48, 64, dtype=torch.bool)
    masks[0, 10:20, 30:50] = masks[1, 5, 7] = True
    found = dict(labels=torch.tensor([1, 0]), scores=torch.tensor([0.75, 0.5]))
    if what in ('boxes', 'both'):
        found['bboxes'] = torch.tensor([[30, 10, 50, 20], [7, 5, 8, 6.0]])
    if what in ('masks', 'both'):
        found['masks'] = masks
    sample = DetDataSample(pred_instances=InstanceData(**found))
    if what == 'nothing':
        sample.pred_instances = InstanceData(
            labels=torch.zeros(0, dtype=torch.int64),
            scores=torch.zeros(0),
            bboxes=torch.zeros(0, 4),
            masks=masks[:0],
        )
    categories = [dict(id=7, name='ball'), dict(id=9, name='tent')]
    annotations = to_coco_annotations(sample, categories)
    if what == 'nothing':
        assert annotations == []
        return
    assert [
        (one['category_id'], one['score'], one['bbox'], one['area'], one['iscrowd'])
        for one in annotations
    ] == [(9, 0.75, [30, 10, 20, 10], 200, 0), (7, 0.5, [7, 5, 1, 1], 1, 0)]
    theirs = encode_mask_results(masks.numpy())
    for one, mask in zip(annotations, theirs):
        expected = dict(mask, counts=mask['counts'].decode())
        assert one.get('segmentation') == (None if what == 'boxes' else expected)


def test_coco_file_is_what_pycocotools_reads(tmp_path):
    records = [
        (
            dict(file_name=name, height=4, width=6),
            [dict(category_id=1, bbox=[0, 0, 2, 3], score=0.5, area=6, iscrowd=0)] * count,
        )
        for name, count in (('a.jpg', 2), ('b.jpg', 0), ('ü.jpg', 1))
    ]
    path = tmp_path / 'predictions.json'
    CocoFile(path, dict(classes=['ball'])).finish(iter(records))
    coco = COCO(path)
    assert [(one['id'], one['file_name']) for one in coco.dataset['images']] == [
        (1, 'a.jpg'),
        (2, 'b.jpg'),
        (3, 'ü.jpg'),
    ]
    assert [(one['id'], one['image_id']) for one in coco.dataset['annotations']] == [
        (1, 1),
        (2, 1),
        (3, 3),
    ]


@pytest.mark.xfail(strict=True, reason='B10: no file is what COCO.loadRes reads')
def test_a_list_of_results_is_there_for_scoring(tmp_path):
    found = [
        dict(category_id=1, bbox=[0, 0, 2, 3], score=score, area=6, iscrowd=0)
        for score in (0.5, 0.25)
    ]
    path = tmp_path / 'predictions.json'
    CocoFile(path, dict(classes=['ball'])).finish([(dict(file_name='a', height=4, width=6), found)])
    lists = [other for other in tmp_path.iterdir() if other != path]
    (results,) = (COCO(path).loadRes(str(other)) for other in lists)
    assert [one['score'] for one in results.dataset['annotations']] == [0.5, 0.25]
