from copy import deepcopy

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import InstanceData, PixelData
from torch import nn

from twins_mm.config import adapt_to_cpu, multiplies_bfloat16
from twins_mm.training.mixed_precision import mixed_precision

pytestmark = pytest.mark.skipif(
    torch.cuda.is_available(), reason='another platform: on a GPU, it is float16'
)
SIZE = 64, 1088  # bfloat16 has every fourth number beyond 512
META = dict(
    img_shape=SIZE,
    ori_shape=SIZE,
    scale_factor=(1.0, 1.0),
    batch_input_shape=SIZE,
    pad_shape=SIZE,
    img_id=1,
    img_path='',
)


def sample_of(scope):
    if scope == 'mmseg':
        from mmseg.structures import SegDataSample

        sample = SegDataSample(metainfo=META)
        sample.gt_sem_seg = PixelData(data=torch.randint(0, 150, (1, *SIZE)))
        return sample
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks

    sample = DetDataSample(metainfo=META)
    sample.gt_instances = InstanceData(
        bboxes=torch.tensor([[901.3, 8, 1001.3, 40]]),
        labels=torch.tensor([3]),
        masks=BitmapMasks(np.ones((1, *SIZE), np.uint8), *SIZE),
    )
    sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4))
    return sample


@pytest.fixture
def make_model(tiny_config):
    """Makes a tiny model of a config, and a batch of two images for it."""

    def make(name):
        cfg = Config.fromfile(tiny_config(name))
        adapt_to_cpu(cfg)
        if cfg.default_scope == 'mmseg':
            cfg.model.data_preprocessor.size = SIZE
        init_default_scope(cfg.default_scope)
        torch.manual_seed(0)
        images = list(torch.randint(0, 256, (2, 3, *SIZE), dtype=torch.uint8))
        model = MODELS.build(cfg.model)
        return model, dict(inputs=images, data_samples=[sample_of(cfg.default_scope)] * 2)

    return make


@pytest.mark.parametrize(
    'name',
    [
        'retinanet_twins_svt_s_1x',
        'mask_rcnn_twins_pcpvt_s_3x',
        'semantic_fpn_twins_svt_s_80k',
        'upernet_twins_svt_s_160k',
        'segformer/segformer_twins_svt_s_160k_cityscapes',
    ],
)
def test_features_are_short_and_results_are_not(name, make_model):
    model, batch = make_model(name)
    levels = []
    model.backbone.register_forward_hook(lambda *call: levels.extend(call[-1]))
    with mixed_precision(model.eval()):
        sample, _ = model.test_step(batch)
    assert {level.dtype for level in levels} == {torch.bfloat16}
    results = sample.pred_instances if 'pred_instances' in sample else sample.seg_logits
    floats = [value for value in results.values() if value.is_floating_point()]
    assert floats and {value.dtype for value in floats} == {torch.float32}


@pytest.mark.parametrize('mode', ['loss', 'predict'])
def test_rois_are_not_rounded(mode, make_model):
    """Neither where proposals are made of anchors nor where they meet the features."""
    model, batch = make_model('mask_rcnn_twins_pcpvt_s_3x')
    rois = []
    for module in model.modules():
        if type(module).__name__ == 'RoIAlign':
            module.register_forward_pre_hook(lambda _, inputs: rois.append(inputs[1]))
    with mixed_precision(model.train(mode == 'loss')), torch.set_grad_enabled(mode == 'loss'):
        model(**model.data_preprocessor(batch), mode=mode)
    sides = torch.cat(rois)[:, 1::2]
    assert sides.dtype == torch.float32
    assert (sides != sides.bfloat16()).float().mean() > 0.5


def test_nothing_stays_behind(make_model):
    model, _ = make_model('mask_rcnn_twins_pcpvt_s_3x')
    with mixed_precision(model):
        assert torch.is_autocast_cpu_enabled()
    assert not torch.is_autocast_cpu_enabled()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


class OneLayer(BaseModel):
    """Its loss is the mean of a Linear's outputs, whose dtype it remembers."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, inputs, mode):
        outputs = self.layer(inputs)
        self.dtype = outputs.dtype
        return dict(loss=outputs.mean())


def wrap(model, **options):
    cfg = Config(
        dict(
            model={},
            optim_wrapper=dict(
                type='AmpOptimWrapper', optimizer=dict(type='SGD', lr=0.1, momentum=0.9), **options
            ),
        )
    )
    adapt_to_cpu(cfg)
    return build_optim_wrapper(model, cfg.optim_wrapper)


@pytest.mark.skipif(
    not multiplies_bfloat16(), reason='another platform: this CPU trains in float32'
)
def test_step_in_bfloat16_updates_float32():
    model = OneLayer()
    before = model.layer.bias.clone()
    model.train_step([torch.rand(2, 4)], wrap(model, loss_scale='dynamic'))
    assert (model.dtype, model.layer.bias.dtype) == (torch.bfloat16, torch.float32)
    torch.testing.assert_close(before - model.layer.bias, torch.full((4,), 0.1 / 4))


@pytest.mark.skipif(
    not multiplies_bfloat16(), reason='another platform: this CPU trains in float32'
)
def test_run_of_a_gpu_goes_on():
    """Its checkpoint has a loss scale too; a GPU doesn't miss it in ours."""
    model = OneLayer()
    wrapper = wrap(model)
    model.train_step([torch.rand(2, 4)], wrapper)
    saved = deepcopy(wrapper.state_dict())
    resumed = wrap(model)
    resumed.load_state_dict(deepcopy(dict(saved, loss_scaler=dict(scale=65536.0))))
    found = resumed.state_dict()
    assert found.keys() == saved.keys()
    for index, state in saved['state'].items():
        assert torch.equal(found['state'][index]['momentum_buffer'], state['momentum_buffer'])
