# Shared by all recipes; mmengine's Runner has defaults for the rest.
custom_imports = dict(imports='twins_mm', allow_failed_imports=False)
# 36 epochs of checkpoints take up to 51 GB. The best one is by the first metric, box AP.
# The first four are not in `custom_hooks`, because your config may replace those.
default_hooks = dict(
    checkpoint_fit=dict(type='CheckpointFitHook'),
    step_seed=dict(type='StepSeedHook'),
    preemption=dict(type='PreemptionHook'),
    finite_loss=dict(type='FiniteLossHook'),
    logger=dict(type='MainProcessLoggerHook', interval=50),
    checkpoint=dict(
        type='CheckpointHook',
        interval=1,
        max_keep_ckpts=3,
        save_best='auto',
        rule='greater',
        backend_args=dict(backend='whole_checkpoints'),
    ),
)
randomness = dict(seed=0)
env_cfg = dict(mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0))
vis_backends = [dict(type='LocalVisBackend')]
load_from = None
resume = False
