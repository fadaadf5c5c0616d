_base_ = ['../_base_/recipes/imagenet_300e.py', '../_base_/backbones/svt_s.py']
model = dict(
    backbone=dict(_base_.backbone, init_cfg=None),
    neck=dict(in_channels=_base_.channels[3]),
    head=dict(in_channels=_base_.channels[3]),
)
