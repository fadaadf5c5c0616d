"""Every config's model takes a training step and a test step; classifiers do in tests/peers."""

import re

import pytest
import torch
from config_steps import (
    CLASSIFIERS,
    CONFIGS,
    FILES,
    SIDE,
    build,
    make_batch,
    name_of,
    step_and_predict,
)
from mmengine.device import get_device


def _is_quick(path):
    """Small models; of STViT's detectors one, because the others take long and differ in heads."""
    return (
        '_s_' in path.stem
        and path.parent in (CONFIGS, CONFIGS / 'stvit')
        and not re.match('cascade|.*stvit.*3x', path.stem)
    )


@pytest.mark.parametrize(
    'path',
    [
        pytest.param(path, id=name_of(path), marks=() if _is_quick(path) else pytest.mark.large)
        for path in FILES
        if path not in CLASSIFIERS
    ],
)
def test_step(path):
    cfg, model, prediction = step_and_predict(path)
    if cfg.default_scope == 'mmdet':
        assert hasattr(prediction, 'pred_instances')
        assert ('masks' in prediction.pred_instances) == hasattr(model, 'roi_head')
    else:
        assert prediction.pred_sem_seg.data.shape == (1, SIDE, SIDE)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    'name',
    [
        'retinanet_twins_svt_s_1x',
        'semantic_fpn_twins_pcpvt_s_80k',
        pytest.param('upernet_twins_svt_s_160k', marks=pytest.mark.large),
        pytest.param('mask_rcnn_twins_pcpvt_s_3x', marks=pytest.mark.large),
    ],
)
def test_mixed_precision_hardly_changes_the_losses(name, dtype):
    device = get_device()
    if device == 'cpu' and dtype == torch.float16 and torch.__version__ < '2.3':
        pytest.skip('another version of a library: float16 autocast on a CPU needs torch 2.3')
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
