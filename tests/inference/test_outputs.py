import json
from pathlib import PurePath
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmdet.datasets import CocoDataset

from twins_mm.inference.frames import Frame
from twins_mm.inference.outputs import write_coco, write_labels, write_pictures, write_video


def make_frame(name='x.jpg'):
    return Frame(PurePath(name), np.zeros((48, 64, 3), np.uint8))


def test_names_that_differ_in_folder_or_suffix_stay_apart(tmp_path):
    names = ['a/x.jpg', 'b/x.jpg', 'b/x.png', 'b/y.tif']
    with write_pictures(tmp_path / 'pictures') as add:
        for shade, name in enumerate(names):
            add(make_frame(name), np.full((8, 8, 3), 60 * shade, np.uint8))
    shades = {path.relative_to(tmp_path / 'pictures').as_posix(): cv2.imread(str(path)).mean()
              for path in (tmp_path / 'pictures').rglob('*.*')}
    assert shades == pytest.approx({'a/x.jpg': 0, 'b/x.jpg': 60, 'b/x.png.jpg': 120,
                                    'b/y.jpg': 180}, abs=2)


@pytest.mark.parametrize(('reduce_zero_label', 'classes', 'expected', 'dtype'), [
    (True, 150, [1, 150], np.uint8), (False, 150, [0, 149], np.uint8),
    (None, 300, [0, 299], np.uint16)])
def test_labels_have_the_data_sets_numbers(reduce_zero_label, classes, expected, dtype, tmp_path):
    meta = dict(classes=range(classes), reduce_zero_label=reduce_zero_label)
    inferencer = SimpleNamespace(model=SimpleNamespace(dataset_meta=meta))
    sample = SimpleNamespace(pred_sem_seg=SimpleNamespace(data=torch.tensor([[[0, classes - 1]]])))
    with write_labels(tmp_path, inferencer) as add:
        add(make_frame(), sample)
    labels = cv2.imread(str(tmp_path / 'x.png'), cv2.IMREAD_UNCHANGED)
    assert labels.tolist() == [expected] and labels.dtype == dtype


@pytest.mark.parametrize(('classes', 'expected'), [
    (CocoDataset.METAINFO['classes'], {'person': 1, 'stop sign': 13, 'toothbrush': 90}),
    (('ball', 'tent'), {'ball': 1, 'tent': 2})])
def test_categories_have_cocos_ids(classes, expected, tmp_path):
    path = tmp_path / 'predictions.json'
    with write_coco(path, SimpleNamespace(model=SimpleNamespace(
            dataset_meta=dict(classes=classes)))):
        pass
    numbers = {one['name']: one['id'] for one in json.loads(path.read_text())['categories']}
    assert list(numbers) == list(classes)
    assert numbers.items() >= expected.items()


def test_video_appears_when_it_is_complete(tmp_path):
    path = tmp_path / 'new/clip.mp4'
    with write_video(path, 5) as add:
        for shade in (0, 100, 200):
            add(make_frame(), np.full((48, 64, 3), shade, np.uint8))
        assert not path.exists()
    video = cv2.VideoCapture(str(path))
    assert video.get(cv2.CAP_PROP_FPS) == 5
    shades = [video.read()[1].mean() for _ in range(3)]
    assert shades == pytest.approx([0, 100, 200], abs=6)
    assert not video.read()[0]
    assert list(path.parent.iterdir()) == [path]
