"""Whole models with compiled mmcv's operators and with ours, in one process.

By hand, in an environment with a compiled mmcv, and this checkout as PYTHONPATH:
`pytest tests/operators/test_beside_compiled.py`. CI has what it returned, in compiled_mmcv.npz.
"""

import importlib
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from unittest.mock import patch

import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import InstanceData

from mmcv_operators import extension

compiled = importlib.import_module('mmcv._ext')
pytestmark = pytest.mark.skipif(
    compiled.__file__.endswith('.py'), reason='another version of a library: mmcv is not compiled'
)
HEIGHT, WIDTH = 192, 256
OBJECTS = 3
# mmdet's, by their names in its metafiles; ours are relative to configs/.
CONFIGS = dict(
    retinanet='retinanet_twins_svt_s_1x.py',
    mask_rcnn='mask_rcnn_twins_svt_s_1x.py',
    cascade='stvit/cascade_mask_rcnn_stvit_s_1x.py',
    dino='mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py',
    mask2former='mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py',
)


@contextmanager
def our_operators():
    with patch.multiple(
        compiled,
        nms=extension.nms,
        roi_align_forward=extension.roi_align_forward,
        roi_align_backward=extension.roi_align_backward,
    ):
        yield


@pytest.fixture(scope='module', params=CONFIGS)
def cfg(request, pytestconfig):
    init_default_scope('mmdet')
    name = CONFIGS[request.param]
    if '::' in name:
        from mmengine.hub import get_config

        cfg = get_config(name)
    else:
        cfg = Config.fromfile(pytestconfig.rootpath / 'configs' / name)
    cfg.model.backbone.init_cfg = None
    return cfg


def build(cfg):
    torch.manual_seed(0)
    model = MODELS.build(deepcopy(cfg.model))  # DINO changes its config
    model.init_weights()
    return model


def make_batch():
    generator = torch.Generator().manual_seed(1)
    samples = []
    for _ in range(2):
        corners = torch.rand(OBJECTS, 2, generator=generator) * torch.tensor([150.0, 100.0])
        sides = 30 + 60 * torch.rand(OBJECTS, 2, generator=generator)
        boxes = torch.cat((corners, corners + sides), 1)
        masks = torch.zeros(OBJECTS, HEIGHT, WIDTH, dtype=torch.uint8)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist()):
            mask[y1:y2, x1:x2] = 1
        size = (HEIGHT, WIDTH)
        sample = DetDataSample(
            metainfo=dict(
                img_shape=size,
                ori_shape=size,
                batch_input_shape=size,
                pad_shape=size,
                scale_factor=(1.0, 1.0),
            )
        )
        sample.gt_instances = InstanceData(
            bboxes=boxes, labels=torch.arange(OBJECTS), masks=BitmapMasks(masks.numpy(), *size)
        )
        samples.append(sample)
    images = [(torch.rand(3, HEIGHT, WIDTH, generator=generator) * 255).byte() for _ in range(2)]
    return dict(inputs=images, data_samples=samples)


def train(cfg, operators, steps=10):
    """The losses of each step, by plain SGD."""
    model = build(cfg).train()
    optimizer = torch.optim.SGD(model.parameters(), 1e-4)
    torch.manual_seed(2)
    losses = []
    with operators:
        for _ in range(steps):
            batch = model.data_preprocessor(make_batch(), training=True)
            loss, log = model.parse_losses(model(**batch, mode='loss'))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses.append({name: value.item() for name, value in log.items() if 'loss' in name})
    return losses


@torch.no_grad()
def predict(cfg, operators):
    model = build(cfg).eval()
    with operators:
        samples = model.test_step(make_batch())
    return [sample.pred_instances for sample in samples]


def test_predictions_are_the_same(cfg):
    cfg.model.test_cfg.score_thr = 0.0
    if 'rcnn' in cfg.model.test_cfg:
        cfg.model.test_cfg.rcnn.score_thr = 0.0
    for found, expected in zip(predict(cfg, our_operators()), predict(cfg, nullcontext())):
        assert len(found) and torch.equal(found.labels, expected.labels)
        torch.testing.assert_close(found.bboxes, expected.bboxes, atol=1e-4 * WIDTH, rtol=0)
        torch.testing.assert_close(found.scores, expected.scores, atol=1e-4, rtol=0)
        if 'masks' in found:
            assert (found.masks != expected.masks).float().mean() < 1e-4


def test_ten_training_steps_have_the_same_losses(cfg):
    for found, expected in zip(train(cfg, our_operators()), train(cfg, nullcontext()), strict=True):
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-3)
