import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict

pytest.importorskip('torch', '2.9')

from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.structures import DetDataSample

from twins_mm.checkpoints.load_model import load_model
from twins_mm.errors import UserError
from twins_mm.export.comparison import LIMITS, compare, read_images, stack
from twins_mm.export.deployable import DeployablePyramid
from twins_mm.export.detectors import DeployableTwoStage, paste
from twins_mm.export.make_deployable import make_deployable

FEW_PROPOSALS = {'model.test_cfg.rpn.nms_pre': 300, 'model.test_cfg.rpn.max_per_img': 400}
AGNOSTIC = {
    'model.roi_head.bbox_head.reg_class_agnostic': True,
    'model.roi_head.mask_head.class_agnostic': True,
}


def answers(model, size, half=False):
    """Of OpenMMLab's own model and of ours, to two images; and how they differ."""
    deployable = make_deployable(model)
    if half:
        deployable.model.half()
    images = stack(read_images(), size)
    with torch.no_grad():
        expected, actual = deployable.expected(model, images), deployable(images)
    return expected, actual, compare(list(deployable.outputs), expected, actual)


@pytest.mark.parametrize(
    ('name', 'options'),
    [
        ('retinanet_twins_pcpvt_s_1x', {}),
        ('retinanet_twins_svt_s_1x', {'model.test_cfg.min_bbox_size': 20}),
        ('mask_rcnn_twins_svt_s_1x', {'model.data_preprocessor.pad_value': 3, **FEW_PROPOSALS}),
        ('mask_rcnn_twins_pcpvt_s_1x', {**AGNOSTIC, **FEW_PROPOSALS}),
        # Of all proposals. With usual anchors, those on P2 alone are left.
        pytest.param(
            'mask_rcnn_twins_svt_s_1x',
            {'model.rpn_head.anchor_generator.scales': [16]},
            marks=pytest.mark.large,
        ),
    ],
)
def test_answers_are_mmdets(name, options, tiny_model):
    cfg, model = tiny_model(name, **options)
    expected, (boxes, scores, labels, *masks), figures = answers(model, (203, 251))
    assert figures['differing'] < 1e-5
    assert figures['detections'] > 100
    assert boxes.min() == 0 and boxes[..., 0::2].max() == 251 and boxes[..., 1::2].max() == 203
    assert len(labels.unique()) > 5
    assert scores.diff().max() <= 0
    if masks:
        assert masks[0].shape == (2, 100, 28, 28)
        assert 0.1 < (masks[0] >= 0.5).double().mean() < 0.9
        levels = (boxes[..., 2:] - boxes[..., :2]).prod(-1).sqrt() // 112
        assert len(levels.unique()) > 1


def test_faster_rcnn_is_mask_rcnn_without_masks(tiny_model):
    cfg, model = tiny_model(
        'mask_rcnn_twins_svt_s_1x',
        **FEW_PROPOSALS,
        **{
            'model.type': 'FasterRCNN',
            'model.roi_head.mask_head': None,
            'model.roi_head.mask_roi_extractor': None,
        },
    )
    expected, actual, figures = answers(model, (203, 251))
    assert len(actual) == len(expected) == 3
    assert figures['differing'] == 0 and figures['detections'] > 100


@pytest.mark.parametrize('name', ['retinanet_twins_svt_s_1x', 'mask_rcnn_twins_svt_s_1x'])
def test_half_computes_boxes_in_single_precision(name, tiny_model):
    cfg, model = tiny_model(name, **(FEW_PROPOSALS if name.startswith('mask') else {}))
    expected, actual, figures = answers(model, (203, 251), half=True)
    # Many random proposals have almost the same score.
    assert 0 < figures['differing'] < (0.25 if model.with_mask else LIMITS['float16'])
    assert {value.dtype for value in actual} == {torch.float32, torch.int64}


@pytest.mark.parametrize('name', ['retinanet_twins_svt_s_1x', 'mask_rcnn_twins_svt_s_1x'])
def test_little_is_found(name, tiny_model):
    """Fewer boxes than there is room for, in maps with fewer anchors than `nms_pre`.

    Mask R-CNN takes a place without a proposal for an object of class 5.
    """
    if name.startswith('retinanet'):
        cfg, model = tiny_model(name, **{'model.bbox_head.num_classes': 1})
        model.bbox_head.retina_cls.bias.data -= 1
    else:
        cfg, model = tiny_model(
            name,
            **{'model.test_cfg.rcnn.score_thr': 0.5, 'model.test_cfg.rcnn.nms.iou_threshold': 0.2},
        )
        model.roi_head.bbox_head.fc_cls.bias.data[5] += 6
    _, (boxes, scores, labels, *masks), figures = answers(model, (64, 96))
    assert figures['differing'] == 0
    missing = labels < 0
    assert 0 < missing.sum() < missing.numel()
    for values in boxes, scores, *masks:
        assert not values[missing].any()


def test_nothing_is_found(tiny_model):
    cfg, model = tiny_model('mask_rcnn_twins_svt_s_1x', **{'model.test_cfg.rcnn.score_thr': 1})
    expected, actual, figures = answers(model, (64, 96))
    assert figures['detections'] == 0 and not any(value.any() for value in actual[:2])


SOFT = dict(type='soft_nms')


@pytest.mark.parametrize(
    ('name', 'options', 'message'),
    [
        ('retinanet_twins_svt_s_1x', {'model.test_cfg.nms': SOFT}, "type='nms'"),
        ('mask_rcnn_twins_svt_s_1x', {'model.test_cfg.rcnn.nms': SOFT}, "type='nms'"),
        ('mask_rcnn_twins_svt_s_1x', {'model.test_cfg.rpn.nms': SOFT}, "type='nms'"),
        (
            'mask_rcnn_twins_svt_s_1x',
            {'model.test_cfg.rcnn.mask_thr_binary': 0.4},
            'mask_thr_binary=0.5',
        ),
    ],
)
def test_what_an_export_would_get_wrong_is_refused(name, options, message, tiny_model):
    cfg, model = tiny_model(name, **options)
    with pytest.raises(UserError, match=message):
        make_deployable(model)


@pytest.mark.parametrize(
    ('options', 'kind'),
    [
        ({}, DeployableTwoStage),
        (
            {
                'model.roi_head.type': 'MaskScoringRoIHead',
                'model.roi_head.mask_iou_head': dict(
                    type='MaskIoUHead', in_channels=16, roi_feat_size=14
                ),
            },
            DeployablePyramid,
        ),
        ({'model.roi_head.mask_head.type': 'HTCMaskHead'}, DeployablePyramid),
        ({'model.roi_head.bbox_roi_extractor.type': 'GenericRoIExtractor'}, DeployablePyramid),
        ({'model.roi_head.mask_roi_extractor.roi_layer.aligned': False}, DeployablePyramid),
    ],
)
def test_other_two_stage_detectors_are_exported_to_their_pyramid(options, kind, tiny_config):
    cfg = Config.fromfile(tiny_config('mask_rcnn_twins_svt_s_1x'))
    cfg.merge_from_dict(options)
    assert type(make_deployable(load_model(cfg, None))) is kind


def test_masks_are_pasted_as_mmdet_pastes_them():
    """Boxes of all sizes, between pixels, at the border; of a fraction of a pixel."""
    torch.manual_seed(0)
    masks = torch.from_numpy(
        np.stack(
            [
                cv2.GaussianBlur(
                    np.random.default_rng(seed).random((28, 28), np.float32), (9, 9), 3
                )
                for seed in range(30)
            ]
        )
    )
    masks = (masks - masks.mean((1, 2), keepdim=True)) * 10 + 0.5
    corners = torch.rand(30, 2, 2) * torch.tensor([90.0, 70.0])
    boxes = torch.cat((corners.amin(1), corners.amax(1) + 1), 1).clamp(max=80)
    head = FCNMaskHead(num_classes=1, class_agnostic=True)
    expected = head._predict_by_feat_single(
        masks.clamp(0.01, 0.99)[:, None].logit(),
        boxes,
        torch.zeros(30),
        dict(scale_factor=(1, 1), ori_shape=(70, 80)),
        ConfigDict(mask_thr_binary=0.5),
    )
    pasted = paste(masks.clamp(0.01, 0.99), boxes, (70, 80))
    assert pasted.shape == (30, 70, 80) and pasted.dtype == torch.bool
    assert 0.02 < pasted.double().mean() < 0.5
    assert (pasted != expected).sum() <= 0.005 * expected.sum()

    boxes = torch.tensor([[10.2, 5, 10.6, 9], [20, 20, 20, 20], [70, 60, 80, 70]])
    pasted = paste(torch.ones(3, 28, 28), boxes, (70, 80))
    assert pasted.sum((1, 2)).tolist() == [4, 0, 100]


def test_predictions_are_in_the_size_of_the_original(tiny_model):
    cfg, model = tiny_model('mask_rcnn_twins_svt_s_1x')
    deployable = make_deployable(model)
    boxes = torch.tensor([[10.0, 20, 30, 40], [0, 0, 0, 0]])
    sample = DetDataSample(metainfo=dict(ori_shape=(200, 150), scale_factor=(0.5, 0.25)))
    deployable.fill_sample(
        sample, (boxes, torch.tensor([0.9, 0]), torch.tensor([3, -1]), torch.ones(2, 28, 28))
    )
    found = sample.pred_instances
    assert found.bboxes.tolist() == [[20, 80, 60, 160]]
    assert found.labels.tolist() == [3]
    assert found.masks.shape == (1, 200, 150)
    assert found.masks.sum() == found.masks[0, 80:160, 20:60].sum() == 40 * 80
