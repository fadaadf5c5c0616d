_base_ = [
    '../models/semantic_fpn.py',
    '../datasets/ade20k.py',
    '../schedules/segmentation_80k.py',
    '../mmseg.py',
]
model = dict(backbone=dict(drop_path_rate=0.2))
train_dataloader = dict(batch_size=4)
auto_scale_lr = dict(enable=False, base_batch_size=16)  # 4 GPUs x 4
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-4, weight_decay=5e-4))
default_hooks = dict(checkpoint=dict(interval=8000))
