_base_ = ['../_base_/recipes/imagenet_300e.py', '../_base_/backbones/svt_s.py']
model = dict(
    backbone=dict(_base_.backbone, init_cfg=None),
    neck=dict(in_channels=_base_.channels[3]),
    head=dict(in_channels=_base_.channels[3]),
)
train_dataloader = dict(batch_size=256)
auto_scale_lr = dict(base_batch_size=2048)  # 8 GPUs x 256
optim_wrapper = dict(optimizer=dict(lr=2e-3))
