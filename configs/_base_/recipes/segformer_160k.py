# SegFormer's, without data: the sources say nothing of how the road-scene head is trained.
_base_ = [
    '../models/segformer.py',
    '../schedules/segmentation_160k.py',
    '../schedules/no_decay.py',
    '../mmseg.py',
]
model = dict(backbone=dict(drop_path_rate=0.1))
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=6e-5, weight_decay=0.01),
    paramwise_cfg=dict(custom_keys={**_base_.no_decay.custom_keys, 'head': dict(lr_mult=10.0)}),
)
default_hooks = dict(checkpoint=dict(interval=16000))
