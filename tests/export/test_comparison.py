import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

pytest.importorskip('torch', '2.9')

from twins_mm.errors import UserError
from twins_mm.export.comparison import (
    compare,
    find_test_size,
    is_within,
    read_images,
    reference_outputs,
    stack,
)
from twins_mm.export.make_deployable import make_deployable

DETECTIONS = ['boxes', 'scores', 'labels']


@pytest.fixture
def found():
    """Two detections in the first image, one in the second, and room for one more."""
    boxes = torch.zeros(2, 3, 4)
    boxes[0, :2] = torch.tensor([[0.0, 0, 9, 9], [5, 5, 20, 30]])
    boxes[1, 0] = torch.tensor([1.0, 2, 3, 4])
    return (
        boxes,
        torch.tensor([[0.9, 0.5, 0], [0.7, 0, 0]]),
        torch.tensor([[3, 4, -1], [3, -1, -1]]),
    )


def test_order_of_detections_does_not_matter(found):
    swapped = tuple(value[:, [1, 0, 2]] for value in found)
    assert compare(DETECTIONS, found, swapped) == {
        'differing': 0,
        'detections': 6,
        'farthest box, px': 0,
    }


@pytest.mark.parametrize(
    ('output', 'place', 'value', 'differing'),
    [
        (0, (0, 1, 2), 20.25, 0),
        (0, (0, 1, 2), 21.0, 2 / 6),
        (1, (0, 1), 0.52, 2 / 6),
        (2, (1, 0), 2, 2 / 6),
        (2, (1, 0), -1, 1 / 5),
        (2, (0, 2), 3, 1 / 7),
    ],
)
def test_detections_that_differ_are_counted_on_both_sides(output, place, value, differing, found):
    actual = [part.clone() for part in found]
    actual[output][place] = value
    figures = compare(DETECTIONS, found, actual)
    assert figures['differing'] == pytest.approx(differing)
    assert figures['farthest box, px'] == (0.25 if value == 20.25 else 0)


@pytest.mark.parametrize(('rows', 'differing'), [(28, 0), (26, 0), (20, 2 / 6)])
def test_masks_that_differ_are_counted(rows, differing, found):
    """Mask R-CNN's are pasted, 28 x 28 a file's; one loses its lower part."""
    pasted = torch.zeros(2, 3, 40, 50, dtype=torch.bool)
    pasted[0, 0, 0:9, 0:9] = pasted[0, 1, 5:30, 5:20] = pasted[1, 0, 2:4, 1:3] = True
    masks = torch.ones(2, 3, 28, 28)
    masks[0, 1, rows:] = 0
    figures = compare([*DETECTIONS, 'masks'], (*found, pasted), (*found, masks))
    assert figures['differing'] == pytest.approx(differing)


@pytest.mark.parametrize(
    ('differing', 'counts', 'within'),
    [
        (0.01, {}, True),
        (0.011, {}, False),
        (torch.inf, {}, False),
        (2 / 86, dict(detections=86), True),
        (4 / 86, dict(detections=86), False),
        (4 / 400, dict(detections=400), True),
        (0, dict(detections=0), True),
    ],
)
def test_one_detection_in_place_of_another_is_rounding(differing, counts, within):
    assert is_within(dict(differing=differing, **counts), 0.01) == within


def test_share_of_pixels_and_greatest_relative_difference():
    labels = torch.arange(20).view(1, 4, 5)
    other = labels.clone()
    other[0, 0, :2] += 1
    assert compare(['labels'], [labels], [other]) == dict(differing=0.1, classes=20)
    assert compare(['labels'], [labels], [other[:, 1:]])['differing'] == 1
    levels = torch.tensor([1.0, -4]), torch.tensor([10.0])
    assert compare(['a', 'b'], levels, (levels[0] + 1, levels[1]))['differing'] == 0.25


@pytest.mark.parametrize('value', [torch.nan, torch.inf])
def test_what_is_not_finite_differs(value):
    level = torch.tensor([1.0, value])
    assert compare(['a', 'b'], [torch.ones(2), level], [torch.ones(2), level]) == dict(
        differing=torch.inf
    )


@pytest.mark.parametrize(
    'name', ['semantic_fpn_twins_svt_s_80k', 'retinanet_twins_svt_s_1x', 'mask_rcnn_twins_svt_s_1x']
)
@pytest.mark.parametrize('value', [torch.nan, torch.inf])
def test_a_model_that_diverged_is_refused(name, value, tiny_model):
    """Its class maps are all 0, and its lists of boxes are empty, in the export as well."""
    cfg, model = tiny_model(name)
    deployable = make_deployable(model)
    weight = model.backbone.patch_embeds[2].proj.weight
    weight.data[0] = value
    with pytest.raises(UserError, match=r'NaN or infinity, first in backbone.patch_embeds.2.proj'):
        reference_outputs(model, deployable, read_images(), [(64, 96)])
    weight.data[0] = 0
    assert [
        one.images.shape for one in reference_outputs(model, deployable, read_images(), [(64, 96)])
    ] == [
        (1, 3, 64, 96),
        (2, 3, 64, 96),
    ]


@pytest.mark.parametrize(
    ('name', 'threshold'),
    [
        ('retinanet_twins_svt_s_1x', 'model.test_cfg.score_thr'),
        ('mask_rcnn_twins_svt_s_1x', 'model.test_cfg.rcnn.score_thr'),
    ],
)
def test_a_detector_must_detect_something_to_be_compared(name, threshold, tiny_model):
    cfg, model = tiny_model(name, **{threshold: 1})
    with pytest.raises(UserError, match=f'detects nothing .* --image FILE.* {threshold}=0'):
        reference_outputs(model, make_deployable(model), read_images(), [(64, 96)])


def test_an_image_of_ones_own(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / 'image.png'), image)
    batch = stack(read_images(str(tmp_path / 'image.png')), (40, 60))
    assert torch.equal(batch[0].permute(1, 2, 0), torch.from_numpy(image))
    assert torch.equal(batch[1], batch[0].flip(2))
    with pytest.raises(UserError, match='none.png is not an image'):
        read_images('none.png')


@pytest.mark.parametrize(
    ('step', 'size'),
    [
        (dict(type='Resize', scale=(1333, 800), keep_ratio=True), (800, 1067)),
        (dict(type='Resize', scale=(512, 256), keep_ratio=False), (256, 512)),
        (dict(type='Resize', scale_factor=0.5), (240, 320)),
        (dict(type='CenterCrop', crop_size=224), (224, 224)),
        (dict(type='LoadImageFromFile'), (480, 640)),
    ],
)
def test_size_of_an_image_in_testing(step, size):
    cfg = Config(dict(test_dataloader=dict(dataset=dict(pipeline=[step]))))
    assert find_test_size(cfg, np.zeros((480, 640, 3), np.uint8)) == size


def test_size_without_data_to_test_with():
    assert find_test_size(Config(), np.zeros((48, 64, 3), np.uint8)) == (48, 64)
