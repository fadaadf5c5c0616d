from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS
from torch import nn

from twins_mm.models.variants import VARIANTS as OF_ALL_SIZES

CONFIGS = Path(__file__).parent.parent / 'configs'
VARIANTS = [f'{family}_{size}' for family in ('pcpvt', 'svt') for size in 'sbl']
# Batch, learning rate and warm-up of the authors' logs where they aren't the paper's.
RELEASED = dict(pcpvt_s=(1280, 1.25e-3, 5), svt_s=(2048, 2e-3, 5), svt_l=(1024, 1e-3, 20))
ALL = [
    *(f'imagenet/twins_{name}' for name in VARIANTS),
    *(f'released/twins_{name}_released' for name in RELEASED),
]
STVIT = [f'imagenet/stvit_{size}' for size in 'sbl']
every_config = pytest.mark.parametrize('name', ALL)


def read(name):
    return Config.fromfile(CONFIGS / f'{name}.py')


def test_files_are_one_for_each_variant():
    found = [
        path.relative_to(CONFIGS).with_suffix('').as_posix()
        for pattern in ('imagenet/*.py', 'released/twins_*.py')
        for path in CONFIGS.glob(pattern)
    ]
    assert {*ALL, *STVIT} - {*found} == set()
    others = {f'imagenet/{variant.in_configs}' for variant in OF_ALL_SIZES.values()}
    assert {*found} - {*ALL, *STVIT} - others == set()


@every_config
def test_backbone_is_the_classifiers(name):
    cfg = read(name)
    backbone = cfg.model.backbone
    family, size = name.rpartition('twins_')[2].split('_')[:2]
    assert backbone.arch[0] == size
    assert backbone.type == dict(svt='TwinsSVT', pcpvt='TwinsPCPVT')[family]
    assert backbone.init_cfg is None
    assert backbone.drop_path_rate == dict(small=0.2, base=0.3, large=0.5)[backbone.arch]
    with torch.device('meta'):
        built = MODELS.build(backbone)
    assert built.out_indices == (3,)
    assert not any('norm_list' in key for key in built.state_dict())
    assert cfg.model.neck.in_channels == cfg.model.head.in_channels == built.out_channels[-1]


@every_config
def test_training_numbers_match_the_paper_or_the_logs(name):
    cfg = read(name)
    variant = name.rpartition('twins_')[2].removesuffix('_released')
    batch, lr, warm_up = RELEASED[variant] if name.startswith('released') else (1024, 1e-3, 5)
    assert cfg.auto_scale_lr == dict(enable=False, base_batch_size=batch)
    assert 8 * cfg.train_dataloader.batch_size == batch
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ('AdamW', lr, 0.05)
    assert lr == pytest.approx(5e-4 * batch / 512)  # the released code's rule
    assert cfg.param_scheduler[0].warm_up_epochs == warm_up
    assert cfg.optim_wrapper.clip_grad == dict(max_norm=5.0)
    assert cfg.train_cfg.max_epochs == cfg.param_scheduler[0].epochs == 300


@pytest.mark.parametrize('name', STVIT)
def test_stvit_is_trained_as_its_supplement_says(name):
    """As Twins, with its own rates of drop path and its own end of the classifier."""
    cfg, twins = read(name), read('imagenet/twins_svt_s')
    backbone = cfg.model.backbone
    assert (backbone.type, backbone.init_cfg, backbone.out_indices) == ('STViT', None, (3,))
    assert backbone.drop_path_rate == dict(s=0.1, b=0.4, l=0.6)[name[-1]]
    for part in ('train_dataloader', 'param_scheduler', 'train_cfg', 'auto_scale_lr'):
        assert cfg[part] == twins[part]
    assert cfg.optim_wrapper.optimizer == twins.optim_wrapper.optimizer
    with torch.device('meta'):
        built, neck = MODELS.build(backbone), MODELS.build(cfg.model.neck)
        (features,) = neck(built.eval()(torch.empty(2, 3, 64, 64)))
    assert features.shape == (2, cfg.model.head.in_channels)


@pytest.mark.parametrize('variant', ['pcpvt_s', 'svt_s'])
def test_weight_decay_is_by_timms_rule(variant):
    """timm's `add_weight_decay`, with what the released `no_weight_decay` lists."""
    cfg = read(f'imagenet/twins_{variant}')
    with torch.device('meta'):
        model = nn.ModuleDict(
            dict(
                backbone=MODELS.build(cfg.model.backbone),
                neck=MODELS.build(cfg.model.neck),
                head=nn.Linear(512, 1000),
            )
        )
    wrapper = build_optim_wrapper(model, dict(cfg.optim_wrapper, type='OptimWrapper'))
    decay = {
        id(group['params'][0]): group['weight_decay'] for group in wrapper.optimizer.param_groups
    }
    for name, parameter in model.named_parameters():
        exempt = parameter.ndim == 1 or name.endswith('.bias') or '.pos_block.' in name
        assert decay[id(parameter)] == (0.0 if exempt else 0.05), name
    assert set(decay.values()) == {0.0, 0.05}


def test_images_are_cut_and_augmented_as_in_the_released_code():
    cfg = read('imagenet/twins_svt_s')
    train = {step.type: step for step in cfg.train_dataloader.dataset.pipeline}
    assert list(train) == [
        'LoadImageFromFile',
        'RandomResizedCrop',
        'RandomFlip',
        'RandAugment',
        'RandomErasing',
        'PackInputs',
    ]
    assert (train['RandomResizedCrop'].scale, train['RandomResizedCrop'].interpolation) == (
        224,
        'bicubic',
    )
    augment = train['RandAugment']
    assert (augment.policies, augment.magnitude_level, augment.magnitude_std) == (
        'timm_increasing',
        9,
        0.5,
    )
    assert train['RandomErasing'].erase_prob == 0.25
    _, resize, crop, _ = cfg.test_dataloader.dataset.pipeline
    assert (resize.scale, resize.interpolation, crop.crop_size) == (256, 'bicubic', 224)
    assert crop.crop_size / resize.scale == 0.875
