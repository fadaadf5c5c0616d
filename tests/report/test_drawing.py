import mmcv
import numpy as np
import pytest
import torch
from matplotlib.patches import Rectangle
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from mmseg.structures import SegDataSample
from twins_mm.report.drawing import draw_pair, draw_regions, draw_truth, list_objects

from twins_mm.tasks import TASKS

HEIGHT, WIDTH = 60, 90
CLASSES, PALETTE = ('cat', 'dog', 'owl'), [(255, 0, 0), (250, 250, 210), (0, 0, 90)]
BOX = [10.0, 20.0, 50.0, 40.0]


@pytest.fixture
def path(tmp_path):
    mmcv.imwrite(np.full((HEIGHT, WIDTH, 3), 128, np.uint8), str(tmp_path / 'image.png'))
    return str(tmp_path / 'image.png')


def mask_of_box():
    mask = np.zeros((1, HEIGHT, WIDTH), np.uint8)
    mask[0, 20:40, 10:50] = 1
    return mask


def objects(label, **more):
    return InstanceData(bboxes=torch.tensor([BOX]), labels=torch.tensor([label]), **more)


def sides_of(figure):
    truth, prediction = figure.axes
    assert (truth.get_title(), prediction.get_title()) == ('ground truth', 'prediction')
    for axes in (truth, prediction):
        assert axes.get_aspect() == 1
    return truth, prediction


@pytest.mark.parametrize('with_masks', [False, True])
def test_objects(with_masks, path):
    masks = (
        [
            dict(masks=BitmapMasks(mask_of_box(), HEIGHT, WIDTH)),
            dict(masks=torch.from_numpy(mask_of_box()).bool()),
        ]
        if with_masks
        else [{}, {}]
    )
    sample = DetDataSample(
        metainfo=dict(img_path=path),
        gt_instances=objects(1, **masks[0]),
        pred_instances=objects(2, scores=torch.tensor([0.876]), **masks[1]),
    )
    figure = draw_pair(sample, TASKS['instance_segmentation'], CLASSES, PALETTE)
    assert not figure.legends
    for axes, label, name, ink in zip(
        sides_of(figure), (1, 2), ('dog', 'owl 0.88'), ('black', 'white')
    ):
        (box,) = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
        assert box.get_bbox().extents.tolist() == BOX
        assert box.get_edgecolor()[:3] == pytest.approx(np.array(PALETTE[label]) / 255)
        (text,) = axes.texts
        assert (text.get_text(), text.get_color()) == (name, ink)
        overlay = axes.images[1].get_array()
        assert np.array_equal(overlay[..., 3] > 0, with_masks * mask_of_box()[0] > 0)


def test_label_maps(path):
    """Unlabelled pixels are not drawn, and the legend has the classes of both maps."""
    truth = torch.zeros(1, HEIGHT, WIDTH, dtype=torch.uint8)
    truth[:, :30], truth[:, 50:] = 2, 255
    prediction = torch.full((1, HEIGHT, WIDTH), 2)
    sample = SegDataSample(
        metainfo=dict(img_path=path),
        gt_sem_seg=PixelData(data=truth),
        pred_sem_seg=PixelData(data=prediction),
    )
    figure = draw_pair(sample, TASKS['semantic_segmentation'], CLASSES, PALETTE)
    drawn = [axes.images[1].get_array() for axes in sides_of(figure)]
    assert drawn[0][10, 10].tolist() == drawn[1][40, 10].tolist() == [*PALETTE[2], 140]
    assert drawn[0][40, 10].tolist() == [*PALETTE[0], 140]
    assert drawn[0][55, 10, 3] == 0
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ['owl', 'cat']


@pytest.mark.parametrize('size', [(60, 90), (97, 131), (767, 1023), (33, 1000)])
def test_picture_alone_has_the_images_pixels(size):
    pytest.importorskip('matplotlib', '3.11')  # older ones shift pixels
    image = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
    assert np.array_equal(draw_regions(image, [], CLASSES, PALETTE), image)


def test_lines_and_letters_grow_with_the_image():
    """A box and its name are as bright, on the whole, in a small as in a large picture."""
    shares = []
    for scale in (10, 20):
        image = np.zeros((HEIGHT * scale, WIDTH * scale, 3), np.uint8)
        regions = list_objects(
            InstanceData(bboxes=scale * torch.tensor([BOX]), labels=torch.tensor([0]))
        )
        shares.append(draw_regions(image, list(regions), CLASSES, PALETTE).mean())
    assert shares[0] == pytest.approx(shares[1], rel=0.1)


@pytest.mark.xfail(strict=True, reason='B8: a sample of a classifier is titled ": dog"')
def test_class_alone_is_the_title(path):
    sample = BaseDataElement(metainfo=dict(img_path=path), gt_label=torch.tensor([1]))
    figure = draw_truth(sample, TASKS['classification'], CLASSES, PALETTE)
    assert figure.axes[0].get_title() == 'dog'
