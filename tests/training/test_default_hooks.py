import pytest
from mmengine.config import Config

from twins_mm.files.shipped import CONFIGS
from twins_mm.training.atomic_checkpoints import BACKEND
from twins_mm.training.default_hooks import add_default_hooks

OURS = Config.fromfile(CONFIGS / '_base_/runtime.py').default_hooks
WHOLE = dict(backend=BACKEND)


def hooks_of(given):
    cfg = Config(dict(default_hooks=given))
    add_default_hooks(cfg)
    return cfg.default_hooks.to_dict()


def test_our_configs_have_them_already():
    assert hooks_of(OURS) == OURS.to_dict()


@pytest.mark.parametrize('given', [None, {}, dict(timer=dict(type='IterTimerHook'))])
def test_config_of_others_gets_them_with_mmengines_settings(given):
    assert hooks_of(given) == dict(
        given or {},
        checkpoint_fit=dict(type='CheckpointFitHook'),
        step_seed=dict(type='StepSeedHook'),
        preemption=dict(type='PreemptionHook'),
        finite_loss=dict(type='FiniteLossHook'),
        logger=dict(type='MainProcessLoggerHook'),
        checkpoint=dict(type='CheckpointHook', backend_args=WHOLE),
    )


@pytest.mark.parametrize(
    ('name', 'hook'),
    [
        ('step_seed', None),
        ('logger', None),
        ('checkpoint', None),
        ('logger', dict(type='MyHook')),
        ('checkpoint', dict(type='CheckpointHook', backend_args=dict(backend='petrel'))),
        ('checkpoint', dict(type='CheckpointHook', file_client_args=dict(backend='disk'))),
    ],
)
def test_what_a_config_decides_stays(name, hook):
    assert hooks_of({name: hook})[name] == hook


@pytest.mark.parametrize('given', [{}, dict(backend_args=WHOLE)])
def test_checkpoints_of_another_file_system_are_left_to_it(given):
    checkpoint = dict(given, type='CheckpointHook', out_dir='s3://bucket/run')
    assert hooks_of(dict(checkpoint=checkpoint))['checkpoint'] == dict(
        checkpoint, backend_args=None
    )
