import cv2
import numpy as np
import pytest
import torch
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData, PixelData

from twins_mm.inference.drawing import draw, join
from twins_mm.tasks import TASKS

HEIGHT, WIDTH = 300, 450
CLASSES, PALETTE = ('cat, feline', 'dog', 'owl'), [(255, 0, 0), (250, 250, 210), (0, 0, 90)]
GREY = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
BOX = [50.0, 100.0, 250.0, 200.0]


def mask_of_box():
    mask = np.zeros((1, HEIGHT, WIDTH), np.uint8)
    mask[0, 100:200, 50:250] = 1
    return mask


def draw_objects(label, image=GREY, box=BOX, **more):
    instances = InstanceData(bboxes=torch.tensor([box]), labels=torch.tensor([label]), **more)
    regions = TASKS['instance_segmentation'].list_regions(instances)
    return draw(image, regions, CLASSES, PALETTE)


def bgr(label):
    return PALETTE[label][::-1]


@pytest.mark.parametrize(
    ('label', 'more', 'ink'),
    [
        (1, {}, 0),
        (1, dict(masks=BitmapMasks(mask_of_box(), HEIGHT, WIDTH)), 0),
        (2, dict(scores=torch.tensor([0.876])), 255),
        (2, dict(scores=torch.tensor([0.876]), masks=torch.from_numpy(mask_of_box()).bool()), 255),
    ],
)
def test_objects(label, more, ink):
    """The box has its color, its name is above it and readable, and only its mask is tinted."""
    picture = draw_objects(label, **more)
    for x, y in ((50, 150), (250, 150), (150, 200)):
        assert picture[y, x].tolist() == list(bgr(label))
    tint = (128 + np.array(bgr(label))) / 2 if 'masks' in more else 128
    assert picture[150, 150] == pytest.approx(tint, abs=1)
    assert (picture[205:, :] == 128).all()
    name = picture[80:100, 50:150]
    assert (name[0] == 128).all() or (name == bgr(label)).all(2).any()
    assert (abs(name.astype(int) - ink).max(2) < 40).any()


def test_scores_are_part_of_the_name():
    named, scored = draw_objects(2), draw_objects(2, scores=torch.tensor([0.876]))
    (columns,) = (named != scored).any(2).any(0).nonzero()
    assert columns.min() > 60 and (named[101:] == scored[101:]).all()


@pytest.mark.parametrize('box', [[-50.0, -40, 60, 50], [400.0, 250, 500, 340], [0.0, 0, 450, 300]])
def test_names_of_boxes_at_the_edge_are_inside(box):
    name = (draw_objects(1, box=box) == bgr(1)).all(2)
    whole = (draw_objects(1) == bgr(1)).all(2)[:99].sum()
    assert name.sum() > whole


def test_label_maps():
    """Unlabelled pixels are not drawn, and each class is named where most of it is."""
    labels = torch.zeros(1, HEIGHT, WIDTH, dtype=torch.uint8)
    labels[:, :150], labels[:, 250:] = 2, 255
    regions = TASKS['semantic_segmentation'].list_regions(PixelData(data=labels))
    picture = draw(GREY, regions, CLASSES, PALETTE)
    for y, label in ((10, 2), (240, 0)):
        assert picture[y, 10] == pytest.approx((128 + np.array(bgr(label))) / 2, abs=1)
    assert (picture[260:] == 128).all()
    for label, rows in ((2, slice(150)), (0, slice(150, 250))):
        name = (picture == bgr(label)).all(2)
        assert name[rows].sum() == name.sum() > 30


def test_the_best_objects_are_on_top():
    masks = torch.from_numpy(np.repeat(mask_of_box(), 2, 0)).bool()
    instances = InstanceData(
        bboxes=torch.tensor([BOX, BOX]),
        labels=torch.tensor([0, 2]),
        masks=masks,
        scores=torch.tensor([0.9, 0.8]),
    )
    regions = TASKS['instance_segmentation'].list_regions(instances)
    assert draw(GREY, regions, CLASSES, PALETTE)[150, 50].tolist() == list(bgr(0))


@pytest.mark.parametrize('size', [(60, 90), (97, 131), (767, 1023), (33, 1000)])
def test_picture_alone_has_the_images_pixels(size):
    image = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
    assert np.array_equal(draw(image, [], CLASSES, PALETTE), image)


def test_lines_and_letters_grow_with_the_image():
    """A box and its name are as bright, on the whole, in a small as in a large picture."""
    shares = []
    for scale in (2, 4):
        image = np.zeros((HEIGHT * scale, WIDTH * scale, 3), np.uint8)
        box = [scale * side for side in BOX]
        shares.append(draw_objects(0, image, box).mean())
    assert shares[0] == pytest.approx(shares[1], rel=0.1)


@pytest.mark.parametrize('what', [torch.tensor([1]), torch.tensor([0.1, 0.7, 0.2])])
def test_classes_of_the_image_are_listed_at_its_top(what):
    regions = TASKS['classification'].list_regions(what)
    assert regions[0].label == 1 and len(regions) == (3 if what.is_floating_point() else 1)
    picture = draw(GREY, regions, CLASSES, PALETTE)
    for line, region in enumerate(regions):
        rows = slice(int(line * 15.4), int((line + 1) * 15.4))
        assert (picture[rows, :150] == bgr(region.label)).all(2).any()
    assert (picture[100:] == 128).all()


def test_pictures_side_by_side():
    left, right = np.zeros((20, 30, 3), np.uint8), np.full((20, 30, 3), 9, np.uint8)
    both = join(left, right)
    assert (both[:, :30] == left).all() and (both[:, -30:] == right).all()
    assert (both[:, 30:-30] == 255).all() and cv2.countNonZero(both[:, 30:-30, 0]) > 0
