import json

import pytest
import torch
from mmdet.datasets import CocoDataset
from mmdet.structures import DetDataSample
from mmdet.structures.mask import encode_mask_results
from mmengine.structures import InstanceData
from pycocotools.coco import COCO

from twins_mm.tasks.coco import CocoFile, to_coco_annotations


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
