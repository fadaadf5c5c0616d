# What all recipes share; mmengine's Runner has defaults for the rest.
custom_imports = dict(imports='twins_mm', allow_failed_imports=False)
# 36 epochs of checkpoints would take 51 GB. The best is by the evaluator's first metric: box AP.
# StepSeedHook is not in `custom_hooks`, which a config of yours that sets it would replace.
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=50),
    step_seed=dict(type='StepSeedHook'),
    checkpoint=dict(
        type='CheckpointHook', interval=1, max_keep_ckpts=3, save_best='auto', rule='greater'))
randomness = dict(seed=0)
env_cfg = dict(mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0))
vis_backends = [dict(type='LocalVisBackend')]
load_from = None
resume = False
