import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from twins_mm.errors import UserError
from twins_mm.inference.backbone_input import load_backbone, prepare_image, show_all_stages


@pytest.mark.parametrize('content', ['model', 'backbone'])
def test_weights_of_a_model_or_of_its_backbone(content, tiny_config, tmp_path):
    cfg = Config.fromfile(tiny_config('retinanet_twins_svt_s_1x'))
    init_default_scope('mmdet')
    model = MODELS.build(cfg.model)
    path = str(tmp_path / 'weights.pth')
    torch.save((model if content == 'model' else model.backbone).state_dict(), path)
    backbone = load_backbone(cfg, path)
    assert not backbone.training
    x = torch.rand(1, 3, 64, 96)
    pyramid = backbone(x)
    assert len(pyramid) == 4  # RetinaNet's config has three
    for ours, shared in zip(pyramid, show_all_stages(model.eval())(x), strict=True):
        assert torch.equal(ours, shared)
    for ours, models in zip(pyramid[1:], model.backbone(x), strict=True):
        assert torch.equal(ours, models)


@pytest.mark.parametrize(('out_indices', 'stages'), [(None, 3), ((0,), 1), ((1, 2), 3)])
def test_stages_are_those_of_the_architecture(out_indices, stages, tmp_path):
    backbone = dict(type='TwinsSVT', arch='small_lll')
    if out_indices:
        backbone['out_indices'] = out_indices
    model = MODELS.build(backbone)
    torch.save(model.state_dict(), tmp_path / 'weights.pth')
    cfg = Config(dict(model=dict(backbone=backbone), default_scope='mmseg'))
    loaded = load_backbone(cfg, str(tmp_path / 'weights.pth'))
    assert loaded.out_indices == tuple(range(stages))


def test_other_backbones_are_refused():
    message = 'This config has no TwinsPCPVT or TwinsSVT or STViT backbone'
    with pytest.raises(UserError, match=message):
        load_backbone(Config(dict(model=dict(backbone=dict(type='ResNet')))), 'none.pth')
    message = 'This config has no TwinsPCPVT or TwinsSVT or STViT backbone'
    with pytest.raises(UserError, match=message):
        show_all_stages(torch.nn.Sequential(torch.nn.Linear(2, 2)))


@pytest.mark.parametrize(
    ('name', 'size', 'padded'),
    [
        ('retinanet_twins_svt_s_1x', (800, 1200), (800, 1216)),
        ('upernet_twins_svt_s_160k', (512, 768), (512, 768)),
    ],
)
def test_image_is_prepared_as_in_evaluation(name, size, padded, tiny_config):
    cfg = Config.fromfile(tiny_config(name))
    image = np.zeros((100, 150, 3), np.uint8)
    image[..., 0] = 200  # blue
    inputs, resized = prepare_image(cfg, image)
    assert resized.shape == (*size, 3)
    assert inputs.shape == (1, 3, *padded)
    # ImageNet's mean and standard deviation, red first.
    assert inputs[0, :, 0, 0].tolist() == pytest.approx(
        [(0 - 123.675) / 58.395, (0 - 116.28) / 57.12, (200 - 103.53) / 57.375]
    )
