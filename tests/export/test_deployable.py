import pytest
import torch
from mmengine.config import Config
from torch.nn import functional as F

pytest.importorskip('torch', '2.9')

from twins_mm.errors import UserError
from twins_mm.export.comparison import LIMITS, compare, read_images, stack
from twins_mm.export.deployable import _means
from twins_mm.export.make_deployable import make_deployable


@pytest.mark.parametrize(
    ('name', 'options'),
    [
        (
            'mask_rcnn_twins_svt_s_1x',
            {
                'model.data_preprocessor.pad_value': 3,
                'model.roi_head.bbox_roi_extractor.roi_layer.aligned': False,
            },
        ),
        ('semantic_fpn_twins_pcpvt_s_80k', {}),
        ('upernet_twins_svt_s_160k', {'model.data_preprocessor.bgr_to_rgb': False}),
        ('segformer/segformer_twins_svt_s_160k_cityscapes', {'model.test_cfg.mode': 'whole'}),
        (
            'semantic_fpn_twins_svt_s_80k',
            {'model.data_preprocessor.test_cfg': dict(size_divisor=32)},
        ),
    ],
)
def test_answers_are_openmmlabs(name, options, tiny_model):
    cfg, model = tiny_model(name, **options)
    deployable = make_deployable(model)
    images = stack(read_images(), (203, 251))
    with torch.no_grad():
        expected, actual = deployable.expected(model, images), deployable(images)
    actual = actual if isinstance(actual, tuple) else (actual,)
    figures = compare(list(deployable.outputs), expected, actual)
    assert figures['differing'] < 1e-5
    if name.startswith('mask_rcnn'):
        assert list(deployable.outputs)[0] == 'stride_4' and len(actual) == 5
    else:
        assert actual[0].shape == (2, 203, 251)
        assert figures['classes'] > 5


def test_half(tiny_model):
    cfg, model = tiny_model('semantic_fpn_twins_pcpvt_s_80k')
    deployable = make_deployable(model)
    deployable.model.half()
    images = stack(read_images(), (203, 251))
    with torch.no_grad():
        expected, actual = deployable.expected(model, images), (deployable(images),)
    assert 0 < compare(['labels'], expected, actual)['differing'] < LIMITS['float16']


@pytest.mark.parametrize('bins', [1, 2, 3, 6])
def test_pooling_by_products_is_adaptive_pooling(bins):
    for height, width in zip(range(1, 20), range(20, 1, -1)):
        x = torch.rand(2, 3, height, width, dtype=torch.double)
        pooled = _means(height, bins).double() @ x @ _means(width, bins).double().T
        torch.testing.assert_close(pooled, F.adaptive_avg_pool2d(x, bins), rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ('name', 'options', 'message'),
    [
        ('semantic_fpn_twins_svt_s_80k', {'model.test_cfg.mode': 'slide'}, "mode='whole'"),
        (
            'semantic_fpn_twins_svt_s_80k',
            {'model.data_preprocessor.test_cfg': dict(size=(64, 64))},
            r'without model\.data_preprocessor\.test_cfg\.size',
        ),
    ],
)
def test_what_an_export_would_get_wrong_is_refused(name, options, message, tiny_model):
    cfg, model = tiny_model(name, **options)
    with pytest.raises(UserError, match=message):
        make_deployable(model)


def test_other_models_are_refused_by_name():
    with pytest.raises(UserError, match='Identity cannot be exported. Supported are segmentors'):
        model = torch.nn.Identity()
        model.cfg = Config(dict(default_scope='mmdet'))
        make_deployable(model)
