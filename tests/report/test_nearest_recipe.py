from pathlib import Path

import pytest
from mmengine.config import Config

from twins_mm.report.nearest_recipe import expected_lr, find_differences, find_recipe
from twins_mm.training.resuming import set_resume

CONFIGS = Path(__file__).parents[2] / 'configs'


def read(name, **changes):
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    cfg.merge_from_dict(changes)
    return cfg


def test_changes_are_found():
    recipe = read('upernet_twins_svt_s_160k')
    run = read(
        'upernet_twins_svt_s_160k',
        **{
            'optim_wrapper.optimizer.lr': 1e-3,
            'model.decode_head.extra': True,
            'work_dir': 'x',
            'train_dataloader.num_workers': 9,
            'train_dataloader.dataset.data_root': '/elsewhere',
            'train_dataloader.dataset.pipeline.3.crop_size': (256, 256),
        },
    )
    del run.train_cfg['max_iters']
    assert {key: (ours, theirs) for key, ours, theirs in find_differences(run, recipe)} == {
        'optim_wrapper.optimizer.lr': (1e-3, 6e-5),
        'model.decode_head.extra': (True, '-'),
        'train_cfg.max_iters': ('-', 160_000),
        'train_dataloader.dataset.pipeline.3.crop_size': ([256, 256], [512, 512]),
    }


@pytest.mark.parametrize(
    'changes',
    [
        {'train_dataloader.batch_size': 4, 'val_dataloader.batch_size': 8},
        {
            'train_dataloader.batch_size': 1,
            'optim_wrapper.accumulative_counts': 2,
            'train_cfg.max_iters': 320_000,
            'param_scheduler.0.end': 3002,
            'param_scheduler.1.end': 320_002,
        },
        {'auto_scale_lr.enable': True},
        {'model.backbone.with_cp': True},
        {'model.backbone.recompute_mlp': False},
        {'train_cfg.val_interval': 4000},
        {'randomness.seed': 7},
        {'custom_hooks': None},
        {
            'custom_hooks': [dict(type='StepSeedHook'), dict(type='CheckpointFitHook')],
            'resume': True,
            'load_from': 'work_dirs/x/iter_16000.pth',
        },
    ],
)
def test_changes_that_give_the_same_model_are_ignored(changes):
    name = 'upernet_twins_svt_s_160k'
    assert find_recipe(name, read(name, **changes), CONFIGS).differences == []


@pytest.mark.parametrize('checkpoint', ['auto', 'work_dirs/x/iter_16000.pth'])
def test_resuming_is_no_difference(checkpoint):
    run = read('upernet_twins_svt_s_160k')
    set_resume(run, checkpoint)
    assert find_differences(run, read('upernet_twins_svt_s_160k')) == []


def test_schedule_counts_weight_updates():
    """With gradients accumulated over 8 iterations, 160,000 are an eighth of the recipe."""
    name = 'upernet_twins_svt_s_160k'
    run = read(name, **{'optim_wrapper.accumulative_counts': 8})
    found = find_recipe(name, run, CONFIGS)
    assert {key: (ours, theirs) for key, ours, theirs in found.differences} == {
        'train_cfg.max_iters': (160_000, 1_280_000),
        'param_scheduler.0.end': (1501, 12_008),
        'param_scheduler.1.end': (160_001, 1_280_008),
    }
    epochs = read('retinanet_twins_svt_s_1x', **{'optim_wrapper.accumulative_counts': 8})
    assert find_recipe('retinanet_twins_svt_s_1x', epochs, CONFIGS).differences == []


@pytest.mark.parametrize(
    ('name', 'run'),
    [
        ('retinanet_twins_svt_s_1x', 'retinanet_twins_svt_s_1x'),
        ('upernet_twins_pcpvt_s_160k', 'upernet_twins_pcpvt_s_160k'),
        ('released/upernet_twins_pcpvt_s_160k_released', 'upernet_twins_pcpvt_s_160k'),
        ('released/upernet_twins_pcpvt_s_160k_released', 'upernet_twins_pcpvt_s_160k_released'),
        ('upernet_twins_pcpvt_s_160k', 'upernet_twins_pcpvt_s_160k_released'),
        (
            'segformer/segformer_twins_svt_s_160k_cityscapes',
            'segformer_twins_svt_s_160k_cityscapes',
        ),
        ('released/mask_rcnn_twins_svt_b_3x_released', 'mine'),
        ('baselines/semantic_fpn_resnet_50_80k', 'semantic_fpn_resnet_50_80k'),
        ('baselines/mask_rcnn_swin_s_3x', 'mine'),
    ],
)
def test_dumped_recipe_is_found_without_differences(name, run, tmp_path):
    read(name).dump(tmp_path / 'config.py')
    recipe = find_recipe(run, Config.fromfile(tmp_path / 'config.py'), CONFIGS)
    assert recipe.path == CONFIGS / f'{name}.py'
    assert recipe.differences == []


@pytest.mark.parametrize('name', ['upernet_twins_svt_s_160k', 'mask_rcnn_twins_pcpvt_b_3x'])
def test_only_recipes_of_the_runs_kind_are_read(name, monkeypatch):
    """Each takes a fifth of a second, and there are 56."""
    cfg, read_paths, fromfile = read(name), [], Config.fromfile
    monkeypatch.setattr(Config, 'fromfile', lambda path: read_paths.append(path) or fromfile(path))
    assert find_recipe('mine', cfg, CONFIGS).name == name
    assert sorted(read_paths) == sorted(CONFIGS.rglob(f'{name.rsplit("_", 2)[0]}_[sbl]_*.py'))


def test_other_models_have_no_recipe():
    cfg = read('upernet_twins_svt_s_160k', **{'model.backbone.type': 'ResNet'})
    assert find_recipe('upernet_twins_svt_s_160k', cfg, CONFIGS) is None


@pytest.mark.parametrize(
    ('name', 'rates'),
    [
        # Computed with mmcv 1.x's formulas; the keys are iterations, from 1.
        (
            'upernet_twins_svt_s_160k',
            {1: 6e-11, 50: 1.959458e-6, 1500: 5.939825e-5, 1501: 5.943750e-5, 16000: 5.400038e-5},
        ),
        ('semantic_fpn_twins_svt_s_80k', {1: 1e-4, 50: 9.994542e-5, 8000: 9.104485e-5}),
        (
            'retinanet_twins_svt_s_1x',
            {1: 1e-7, 50: 9.8902e-6, 501: 1e-4, 800: 1e-4, 801: 1e-5, 1101: 1e-6},
        ),
    ],
)
def test_learning_rates(name, rates):
    computed = expected_lr(read(name), max(rates), epoch_length=100)
    assert {step: computed[step - 1] for step in rates} == pytest.approx(rates, rel=1e-5)


def test_scaled_learning_rate_keeps_its_end():
    """mmengine scales the optimizer's learning rate, not the schedule's `eta_min` of 1e-6."""
    rates = expected_lr(read('semantic_fpn_twins_svt_s_80k'), 80_000, None, scale=0.25)
    assert rates[0] == pytest.approx(2.5e-5)
    assert rates[40_000] == pytest.approx((2.5e-5 - 1e-6) * 0.5**0.9 + 1e-6)
