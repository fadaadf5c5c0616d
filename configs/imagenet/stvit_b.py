_base_ = ['../_base_/recipes/imagenet_300e_stvit.py', '../_base_/backbones/stvit_b.py']
model = dict(
    backbone=dict(_base_.backbone, init_cfg=None, drop_path_rate=0.4),
    neck=dict(in_channels=_base_.channels[3]),
)
