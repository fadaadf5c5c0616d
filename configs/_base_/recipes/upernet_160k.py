_base_ = [
    '../models/upernet.py',
    '../datasets/ade20k.py',
    '../schedules/segmentation_160k.py',
    '../schedules/no_decay.py',
    '../mmseg.py',
]
model = dict(backbone=dict(drop_path_rate=0.2))
train_dataloader = dict(batch_size=2)
auto_scale_lr = dict(enable=False, base_batch_size=16)  # 8 GPUs x 2
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=6e-5, weight_decay=0.01),
    paramwise_cfg=_base_.no_decay,
)
default_hooks = dict(checkpoint=dict(interval=16000))
