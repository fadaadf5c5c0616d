"""Every config's model takes a training step and a test step, on small images."""
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import InstanceData, PixelData

from twins_mm.config import drop_pretrained, fit_to_cpu

CONFIGS = Path(__file__).parent.parent / 'configs'


def _is_quick(path):
    """Small models; of STViT's detectors one, because the others take long and differ in heads."""
    return ('_s_' in path.stem and path.parent == CONFIGS
            and not re.match('cascade|.*stvit.*3x', path.stem))


CONFIG_FILES = [
    pytest.param(path, id=str(path.relative_to(CONFIGS).with_suffix('')),
                 marks=() if _is_quick(path) else pytest.mark.large)
    for path in sorted(CONFIGS.rglob('*.py')) if '_base_' not in path.parts]
SIDE = 64
META = dict(img_shape=(SIDE, SIDE), ori_shape=(SIDE, SIDE), scale_factor=(1., 1.), img_id=1,
            batch_input_shape=(SIDE, SIDE), pad_shape=(SIDE, SIDE), img_path='')


def detection_sample():
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    mask = np.zeros((1, SIDE, SIDE), np.uint8)
    mask[:, 8:40, 10:50] = 1
    sample = DetDataSample(metainfo=META)
    sample.gt_instances = InstanceData(
        bboxes=torch.tensor([[10., 8., 50., 40.]]), labels=torch.tensor([3]),
        masks=BitmapMasks(mask, SIDE, SIDE))
    sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0))
    return sample


def segmentation_sample():
    from mmseg.structures import SegDataSample
    sample = SegDataSample(metainfo=META)
    sample.gt_sem_seg = PixelData(data=torch.randint(0, 150, (1, SIDE, SIDE)))
    return sample


def build(path):
    """The config in `path` and its model, adapted to small images and this machine."""
    cfg = Config.fromfile(path)
    init_default_scope(cfg.default_scope)
    drop_pretrained(cfg)
    fit_to_cpu(cfg)
    cfg.model.backbone.drop_path_rate = 0.  # a dropped branch has no gradient
    if 'rpn_head' in cfg.model:  # large anchors reach beyond a small image
        cfg.model.train_cfg.rpn.allowed_border = -1
    if cfg.default_scope == 'mmseg':
        cfg.model.data_preprocessor.size = (SIDE, SIDE)
    torch.manual_seed(0)
    return cfg, MODELS.build(cfg.model)


def make_batch(cfg):
    sample = detection_sample if cfg.default_scope == 'mmdet' else segmentation_sample
    # Two different images: of one value twice, BatchNorm's weight has no gradient.
    images = torch.randint(0, 256, (2, 3, SIDE, SIDE), dtype=torch.uint8)
    return dict(inputs=list(images), data_samples=[sample(), sample()])


@pytest.mark.parametrize('path', CONFIG_FILES)
def test_step(path):
    cfg, model = build(path)
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    before = {key: parameter.clone() for key, parameter in model.named_parameters()}
    losses = model.train().train_step(make_batch(cfg), optimizer)
    assert all(torch.isfinite(value).all() for value in losses.values()), losses
    unchanged = [key for key, parameter in model.named_parameters()
                 if parameter.equal(before[key])]
    assert unchanged == []

    prediction = model.eval().test_step(make_batch(cfg))[0]
    if cfg.default_scope == 'mmdet':
        assert hasattr(prediction, 'pred_instances')
        assert ('masks' in prediction.pred_instances) == hasattr(model, 'roi_head')
    else:
        assert prediction.pred_sem_seg.data.shape == (1, SIDE, SIDE)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
@pytest.mark.parametrize('name', [
    'retinanet_twins_svt_s_1x', 'semantic_fpn_twins_pcpvt_s_80k',
    pytest.param('upernet_twins_svt_s_160k', marks=pytest.mark.large),
    pytest.param('mask_rcnn_twins_pcpvt_s_3x', marks=pytest.mark.large)])
def test_mixed_precision_hardly_changes_the_losses(name, dtype):
    device = get_device()
    if device == 'cpu' and dtype == torch.float16 and torch.__version__ < '2.3':
        pytest.skip('float16 autocast on a CPU needs torch 2.3')
    cfg, model = build(CONFIGS / f'{name}.py')
    model = model.to(device).train()
    batch = model.data_preprocessor(make_batch(cfg), True)

    def losses_in(enabled):
        torch.manual_seed(0)
        with torch.autocast(device, dtype, enabled=enabled):
            loss, losses = model.parse_losses(model(**batch, mode='loss'))
        loss.backward()
        gradients = [parameter.grad for parameter in model.backbone.parameters()]
        assert all(torch.isfinite(gradient).all() for gradient in gradients)
        model.zero_grad()
        return {key: float(value) for key, value in losses.items() if 'loss' in key}

    assert losses_in(True) == pytest.approx(losses_in(False), rel=0.03, abs=0.01)
