_base_ = ['../_base_/recipes/imagenet_300e.py', '../_base_/backbones/pcpvt_s.py']
model = dict(
    backbone=dict(_base_.backbone, init_cfg=None),
    neck=dict(in_channels=_base_.channels[3]),
    head=dict(in_channels=_base_.channels[3]),
)
train_dataloader = dict(batch_size=160)
auto_scale_lr = dict(base_batch_size=1280)  # 8 GPUs x 160
optim_wrapper = dict(optimizer=dict(lr=1.25e-3))
