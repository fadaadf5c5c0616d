from pathlib import Path

import mmdet
import mmseg
import pytest
import torch
from checkpoints.classifiers import with_classifier
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from tiny_archs import TINY_ARCHS

from twins_mm import TwinsPCPVT, TwinsSVT
from twins_mm.checkpoints import convert
from twins_mm.checkpoints.inspect import describe_checkpoint
from twins_mm.checkpoints.unpack import LAYOUTS
from twins_mm.config import drop_pretrained
from twins_mm.models.published_weights import name_classifier

CONFIGS = Path(__file__).parents[2] / 'configs'


def build(name, **options):
    """The state dict of a config's model, without its memory."""
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    drop_pretrained(cfg)
    cfg.merge_from_dict(options)
    init_default_scope(cfg.default_scope)
    with torch.device('meta'):
        return MODELS.build(cfg.model).state_dict()


def classifier(backbone):
    return with_classifier(backbone.state_dict(), backbone.out_channels[-1])


@pytest.mark.parametrize(
    ('name', 'variant', 'head'),
    [
        ('retinanet_twins_svt_b_1x', 'Twins-SVT-B', 'RetinaNet, 80 classes'),
        ('mask_rcnn_twins_pcpvt_s_3x', 'Twins-PCPVT-S', 'Mask R-CNN, 80 classes'),
        ('semantic_fpn_twins_pcpvt_l_80k', 'Twins-PCPVT-L', 'Semantic FPN, 150 classes'),
        ('upernet_twins_svt_s_160k', 'Twins-SVT-S', 'UperNet, 150 classes'),
        (
            'segformer/segformer_twins_svt_s_160k_ade20k',
            'Twins-SVT-S',
            'SegFormer head, 150 classes',
        ),
        (
            'segformer/segformer_twins_pcpvt_b_160k_cityscapes',
            'Twins-PCPVT-B',
            'SegFormer head, 19 classes',
        ),
    ],
)
@pytest.mark.parametrize('layout', ['twins_mm', 'mmseg'])
def test_model_of_a_config(name, variant, head, layout):
    weights = convert(build(name), layout)
    topics = describe_checkpoint(dict(state_dict=weights), CONFIGS)
    assert topics['backbone'] == variant
    assert topics['head'] == head
    assert str(CONFIGS / f'{name}.py') in topics['config']
    assert 'num_classes' not in topics['config']
    assert ('ade20k' in topics['config']) == name.endswith('ade20k')
    assert ('numerics=mmseg' in topics['config']) == (layout == 'mmseg')
    assert topics['layout'].startswith('released' if layout == 'twins_mm' else 'mmseg')
    values = sum(value.numel() for value in weights.values())
    assert topics['size'].startswith(f'{values / 1e6:.2f} M values, ')


@pytest.mark.parametrize(
    ('name', 'variant', 'head'),
    [
        ('stvit/cascade_mask_rcnn_stvit_s_3x', 'STViT-S', 'Cascade Mask R-CNN, 80 classes'),
        ('stvit/upernet_stvit_b_160k', 'STViT-B', 'UperNet, 150 classes'),
    ],
)
def test_model_of_stvit(name, variant, head):
    topics = describe_checkpoint(build(name), CONFIGS)
    assert (topics['backbone'], topics['head']) == (variant, head)
    assert str(CONFIGS / f'{name}.py') in topics['config']


@pytest.mark.parametrize(
    ('name', 'options', 'count'),
    [
        ('retinanet_twins_svt_s_1x', {'model.bbox_head.num_classes': 3}, 3),
        (
            'mask_rcnn_twins_svt_s_1x',
            {'model.roi_head.bbox_head.num_classes': 3, 'model.roi_head.mask_head.num_classes': 3},
            3,
        ),
        ('upernet_twins_svt_s_160k', {'model.decode_head.num_classes': 19}, 19),
    ],
)
def test_number_of_classes(name, options, count):
    topics = describe_checkpoint(build(name, **options), CONFIGS)
    assert topics['head'].endswith(f', {count} classes')
    assert topics['config'].endswith(f', with num_classes={count}')


@pytest.mark.parametrize(
    ('library', 'name', 'options', 'parts'),
    [
        (mmdet, 'cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco', {}, 'neck, roi_head, rpn_head'),
        (mmdet, 'guided_anchoring/ga-retinanet_r50_fpn_1x_coco', {}, 'bbox_head, neck'),
        (
            mmseg,
            'pspnet/pspnet_r50-d8_4xb2-40k_cityscapes-512x1024',
            {
                'model.pretrained': None,
                'model.decode_head.in_channels': 512,
                'model.auxiliary_head.in_channels': 256,
            },
            'auxiliary_head, decode_head',
        ),
    ],
)
def test_similar_models_are_not_confused_with_ours(library, name, options, parts):
    """They share modules with Mask R-CNN, RetinaNet and UperNet."""
    cfg = Config.fromfile(Path(library.__file__).parent / f'.mim/configs/{name}.py')
    cfg.merge_from_dict(options)
    cfg.model.backbone = dict(type='TwinsSVT', arch='small')
    if 'neck' in cfg.model:
        cfg.model.neck.in_channels = [64, 128, 256, 512]
    init_default_scope(cfg.default_scope)
    with torch.device('meta'):
        topics = describe_checkpoint(MODELS.build(cfg.model).state_dict(), CONFIGS)
    assert topics['backbone'] == 'Twins-SVT-S'
    assert topics['head'] == f'not in our configs: {parts}'
    assert topics['config'] == 'none'


def test_detector_with_a_backbone_that_no_config_has():
    weights = build(
        'retinanet_twins_svt_s_1x', **{'model.backbone.sub_sampling': 'average_pooling'}
    )
    topics = describe_checkpoint(weights, CONFIGS)
    assert topics['backbone'] == 'Twins-SVT-S_average_pooling'
    assert topics['head'] == 'RetinaNet, 80 classes'
    assert topics['config'] == 'none'


def test_model_of_the_authors():
    with torch.device('meta'):
        unused = {
            f'backbone.{name}': value
            for name, value in classifier(TwinsSVT('small')).items()
            if name.startswith(('norm.', 'head.'))
        }
    for name in ('upernet_twins_svt_s_160k', 'retinanet_twins_svt_s_3x'):
        topics = describe_checkpoint(build(name) | unused, CONFIGS)
        assert topics['config'] == str(CONFIGS / f'released/{name}_released.py')


@pytest.mark.parametrize('layout', ['timm', 'mmseg', 'mmpretrain'])
def test_classifier(layout):
    weights = convert(classifier(TwinsPCPVT('small')), layout)
    topics = describe_checkpoint(dict(weights), CONFIGS)
    assert topics['head'] == 'ImageNet classifier, 1000 classes'
    assert topics['size'] == '24.11 M values, 92.0 MiB'
    assert topics['config'].startswith(f'{CONFIGS}/imagenet/twins_pcpvt_s.py; or, to start from')
    assert f'{CONFIGS}/_base_/backbones/pcpvt_s.py' in topics['config']


def test_classifier_of_an_ablation():
    """It was said to be in imagenet/."""
    with torch.device('meta'):
        weights = classifier(TwinsSVT('small', sub_sampling='average_pooling'))
    topics = describe_checkpoint(dict(weights), CONFIGS)
    config = CONFIGS / 'ablations/twins_svt_s_average_pooling.py'
    assert topics['config'].startswith(f'{config}; or, to start from')


def test_classifier_without_a_config(tmp_path):
    with torch.device('meta'):
        weights = classifier(TwinsSVT('small'))
    topics = describe_checkpoint(dict(weights), tmp_path)
    assert topics['config'].startswith(f'any with {tmp_path}/_base_/backbones/svt_s.py')


def test_our_classifier_of_other_classes():
    with torch.device('meta'):
        weights = name_classifier(
            with_classifier(
                TwinsSVT('base', norm_after_stage=False).state_dict(), 768, num_classes=10
            ),
            LAYOUTS,
        )
    topics = describe_checkpoint(dict(state_dict=weights), CONFIGS)
    assert topics['backbone'] == 'Twins-SVT-B'
    assert topics['head'] == 'classifier, 10 classes'
    assert topics['config'].startswith(
        f'{CONFIGS}/imagenet/twins_svt_b.py, with --cfg-options model.head.num_classes=10; or, '
    )


@pytest.mark.parametrize(
    ('meta', 'classes', 'trained'),
    [
        (
            dict(epoch=12, iter=87960, mmdet_version='2.8.0', CLASSES=('cat', 'dog')),
            'cat, dog',
            'epoch 12, iter 87960, mmdet 2.8.0',
        ),
        (
            dict(epoch=0, iter=160000, dataset_meta=dict(classes=list('abcdefghij'))),
            'a, b, c, d, e, f, g, h, ...',
            'epoch 0, iter 160000',
        ),
    ],
)
def test_meta_of_a_training_run(meta, classes, trained):
    topics = describe_checkpoint(
        dict(meta=meta, state_dict=TwinsSVT(TINY_ARCHS['TwinsSVT']).state_dict()), CONFIGS
    )
    assert (topics['classes'], topics['trained']) == (classes, trained)
    assert topics['head'] == topics['config'] == 'none'
    assert topics['backbone'] == ('Twins-SVT with 2, 2, 3, 2 blocks and 8, 16, 24, 32 channels')


def test_head_of_another_model():
    weights = {
        f'backbone.{name}': value
        for name, value in TwinsSVT(TINY_ARCHS['TwinsSVT']).state_dict().items()
    } | {'mask_head.x': torch.rand(1)}
    topics = describe_checkpoint(weights, CONFIGS)
    assert topics['head'] == 'not in our configs: mask_head'
    assert topics['config'] == 'none'
