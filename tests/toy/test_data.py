"""The toy data sets are reproducible, complete or absent, and follow the real layouts."""

import hashlib
import shutil
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmdet.datasets import CocoDataset
from mmseg.datasets import ADE20KDataset, CityscapesDataset
from pycocotools.coco import COCO

from twins_mm.toy import data as toy
from twins_mm.toy.data import TOY_VERSIONS, make_toy_data

# The ids around each gap in COCO's numbering.
COCO_NAMES_AROUND_GAPS = {
    1: 'person',
    11: 'fire hydrant',
    13: 'stop sign',
    25: 'giraffe',
    27: 'backpack',
    28: 'umbrella',
    31: 'handbag',
    44: 'bottle',
    46: 'wine glass',
    65: 'bed',
    67: 'dining table',
    70: 'toilet',
    72: 'tv',
    82: 'refrigerator',
    84: 'book',
    90: 'toothbrush',
}
SIZES = {(256, 256), (192, 256), (256, 192)}
CORNERS = {'sports ball': 48, 'book': 4, 'kite': 3}
# The share of its circumcircle that each shape fills.
FILLED = {'ball': 1, 'flag': 0.53, 'tent': 0.36}

each_split = pytest.mark.parametrize('split', ['train', 'val'])


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    return make_toy_data(tmp_path_factory.mktemp('data') / 'toy')


@pytest.fixture
def few(monkeypatch, tmp_path) -> dict[str, str]:
    """Makes fewer images, for speed; returns the digest of the smaller data."""
    monkeypatch.setattr(toy, '_IMAGES', {'train': 2, 'val': 1})
    return digest(make_toy_data(tmp_path / 'few'))


@pytest.fixture
def path(tmp_path) -> Path:
    """A target for toy data, alone in its folder."""
    return tmp_path / 'own' / 'toy'


def digest(folder: Path) -> dict[str, str]:
    """A digest of every file in a folder and its subfolders."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob('*')
        if file.is_file()
    }


def load_coco(root: Path, split: str) -> COCO:
    return COCO(root / f'coco/annotations/instances_{split}2017.json')


def load_ade(root: Path, kind: str, split: str) -> dict[str, np.ndarray]:
    """The unchanged images or annotations of a split, by name."""
    folder = {'train': 'training', 'val': 'validation'}[split]
    files = (root / 'ADEChallengeData2016' / kind / folder).iterdir()
    return {file.stem: cv2.imread(str(file), cv2.IMREAD_UNCHANGED) for file in files}


def test_same_bytes_every_time(root, path):
    assert digest(make_toy_data(path)) == digest(root)


def test_complete_data_is_not_made_again(few, path, monkeypatch):
    make_toy_data(path)
    monkeypatch.setattr(toy, 'draw_scene', None)
    assert digest(make_toy_data(path)) == few


def test_interruption_leaves_nothing_behind(few, path, monkeypatch):
    def interrupt(folder):
        assert not path.exists()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setitem(TOY_VERSIONS, 'ade20k', TOY_VERSIONS['ade20k']._replace(make=interrupt))
        make_toy_data(path)
    assert not list(path.parent.iterdir())
    assert digest(make_toy_data(path)) == few


def test_data_of_another_version_is_made_again(few, path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(toy, '_VERSION', 'another')
        (make_toy_data(path) / 'relic').touch()
    assert digest(make_toy_data(path)) == few
    assert list(path.parent.iterdir()) == [path]


def test_other_files_are_not_touched(few, path):
    path.mkdir(parents=True)
    (path / 'precious').write_text('mine')
    with pytest.raises(OSError):
        make_toy_data(path)
    assert [file.name for file in path.rglob('*')] == ['precious']


def test_two_processes_can_make_it_at_once(few, path, monkeypatch):
    ade20k = TOY_VERSIONS['ade20k']

    def be_overtaken(folder):
        ade20k.make(folder)
        shutil.copytree(path.parents[1] / 'few', path)

    monkeypatch.setitem(TOY_VERSIONS, 'ade20k', ade20k._replace(make=be_overtaken))
    assert digest(make_toy_data(path)) == few


@pytest.mark.parametrize(
    ('folder', 'name', 'count'),
    [
        ('coco/train2017', '{:012d}.jpg', 200),
        ('coco/val2017', '{:012d}.jpg', 50),
        ('ADEChallengeData2016/images/training', 'ADE_train_{:08d}.jpg', 200),
        ('ADEChallengeData2016/images/validation', 'ADE_val_{:08d}.jpg', 50),
        ('ADEChallengeData2016/annotations/training', 'ADE_train_{:08d}.png', 200),
        ('ADEChallengeData2016/annotations/validation', 'ADE_val_{:08d}.png', 50),
        (
            'cityscapes/leftImg8bit/train/trainville',
            'trainville_{:06d}_000019_leftImg8bit.png',
            200,
        ),
        ('cityscapes/leftImg8bit/val/valville', 'valville_{:06d}_000019_leftImg8bit.png', 50),
        (
            'cityscapes/gtFine/train/trainville',
            'trainville_{:06d}_000019_gtFine_labelTrainIds.png',
            200,
        ),
        ('cityscapes/gtFine/val/valville', 'valville_{:06d}_000019_gtFine_labelTrainIds.png', 50),
    ],
)
def test_files_follow_the_layouts(root, folder, name, count):
    names = sorted(file.name for file in (root / folder).iterdir())
    assert names == [name.format(number) for number in range(1, count + 1)]


def test_no_image_occurs_twice(root):
    images = [
        content
        for name, content in digest(root).items()
        if name.endswith(('.jpg', 'leftImg8bit.png'))
    ]
    assert len(set(images)) == len(images)


@each_split
def test_coco_categories_are_the_real_ones(root, split):
    names = {i: category['name'] for i, category in load_coco(root, split).cats.items()}
    assert tuple(names.values()) == CocoDataset.METAINFO['classes']
    assert names.items() >= COCO_NAMES_AROUND_GAPS.items()


@each_split
def test_coco_sizes_match_the_images(root, split):
    sizes = set()
    for image in load_coco(root, split).imgs.values():
        size = cv2.imread(str(root / f'coco/{split}2017' / image['file_name'])).shape[:2]
        assert (image['height'], image['width']) == size
        sizes.add(size)
    assert sizes == SIZES


@each_split
def test_coco_boxes_and_areas_fit_the_masks(root, split):
    coco = load_coco(root, split)
    for annotation in coco.anns.values():
        mask = coco.annToMask(annotation)
        # Tiny shapes are mostly edge, and the tip of a triangle fills no pixel.
        tolerance = 0.1 if annotation['iscrowd'] else 0.02
        assert annotation['area'] == pytest.approx(mask.sum(), rel=tolerance)
        np.testing.assert_allclose(annotation['bbox'], cv2.boundingRect(mask), atol=2.5)


@each_split
def test_coco_shapes_match_their_classes(root, split):
    coco = load_coco(root, split)
    corners = defaultdict(set)
    for annotation in coco.anns.values():
        if not annotation['iscrowd']:
            [polygon] = annotation['segmentation']
            corners[coco.cats[annotation['category_id']]['name']].add(len(polygon) // 2)
    assert corners == {name: {count} for name, count in CORNERS.items()}


@each_split
def test_coco_shapes_are_mostly_visible(root, split):
    coco = load_coco(root, split)
    for annotations in coco.imgToAnns.values():
        hidden = np.False_
        for annotation in reversed(annotations):
            mask = coco.annToMask(annotation).astype(bool)
            assert (mask & ~hidden).sum() > 0.8 * mask.sum()
            hidden |= mask


@each_split
def test_coco_has_crowds_and_empty_images(root, split):
    coco = load_coco(root, split)
    crowds = coco.loadAnns(coco.getAnnIds(iscrowd=True))
    assert crowds
    assert all(crowd['segmentation'].keys() == {'counts', 'size'} for crowd in crowds)
    assert coco.imgs.keys() > coco.imgToAnns.keys()


@each_split
def test_ade_labels_are_valid(root, split):
    classes = ADE20KDataset.METAINFO['classes']
    expected = {classes.index(name) + 1 for name in TOY_VERSIONS['ade20k'].classes}
    maps = load_ade(root, 'annotations', split).values()
    assert set().union(*(np.unique(labels) for labels in maps)) == {0} | expected


@each_split
def test_ade_labels_fit_the_images(root, split):
    images = load_ade(root, 'images', split)
    maps = load_ade(root, 'annotations', split)
    sizes = {name: labels.shape for name, labels in maps.items()}
    assert sizes == {name: image.shape[:2] for name, image in images.items()}
    assert set(sizes.values()) == SIZES


@each_split
def test_ade_has_a_thin_border_without_labels(root, split):
    for labels in load_ade(root, 'annotations', split).values():
        unlabelled = np.ones_like(labels)
        unlabelled[4:-4, 4:-4] = 0
        np.testing.assert_array_equal(labels == 0, unlabelled)


@each_split
@pytest.mark.parametrize(('name', 'share'), FILLED.items())
def test_ade_shapes_match_their_classes(root, split, name, share):
    label = ADE20KDataset.METAINFO['classes'].index(name) + 1
    filled = []
    for labels in load_ade(root, 'annotations', split).values():
        mask = (labels == label).astype(np.uint8)
        for contour in cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]:
            _, radius = cv2.minEnclosingCircle(contour)
            filled.append(cv2.contourArea(contour) / (np.pi * radius**2))
    assert np.median(filled) == pytest.approx(share, abs=0.08)


@pytest.fixture(params=['train', 'val'])
def roads(request, root) -> list[np.ndarray]:
    """The label maps of a split of Cityscapes, which mmseg finds with images of their sizes."""
    folder = root / 'cityscapes'
    found = CityscapesDataset(
        data_root=str(folder),
        data_prefix=dict(
            img_path=f'leftImg8bit/{request.param}', seg_map_path=f'gtFine/{request.param}'
        ),
    )
    samples = [found.get_data_info(index) for index in range(len(found))]
    maps = [cv2.imread(sample['seg_map_path'], cv2.IMREAD_UNCHANGED) for sample in samples]
    assert [labels.shape for labels in maps] == [
        cv2.imread(sample['img_path']).shape[:2] for sample in samples
    ]
    return maps


def test_road_labels_are_valid(roads):
    classes = CityscapesDataset.METAINFO['classes']
    expected = {classes.index(name) for name in TOY_VERSIONS['cityscapes'].classes}
    assert set().union(*(np.unique(labels) for labels in roads)) == {255} | expected
    for labels in roads:
        border = np.ones_like(labels)
        border[4:-4, 4:-4] = 0
        np.testing.assert_array_equal(labels == 255, border)


@pytest.mark.parametrize(('name', 'width'), [('sidewalk', 6), ('pole', 5)])
def test_lines_and_poles_of_roads_are_thin(roads, name, width):
    """No wider than the square of pixels that fits in nowhere, and in most images."""
    label = CityscapesDataset.METAINFO['classes'].index(name)
    masks = [(labels == label).astype(np.uint8) for labels in roads]
    assert np.mean([mask.any() for mask in masks]) > 0.9
    square = np.ones((width + 1, width + 1), np.uint8)
    assert not any(cv2.erode(mask, square, borderValue=0).any() for mask in masks)


def test_signs_are_on_poles(roads):
    classes = CityscapesDataset.METAINFO['classes']
    sign, pole = (classes.index(name) for name in ('traffic sign', 'pole'))
    for labels in roads:
        grown = cv2.dilate((labels == pole).astype(np.uint8), np.ones((3, 3), np.uint8))
        count, parts = cv2.connectedComponents((labels == sign).astype(np.uint8))
        assert all(grown[parts == part].any() for part in range(1, count))
