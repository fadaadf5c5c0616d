_base_ = ['../_base_/recipes/imagenet_300e.py', '../_base_/backbones/svt_l.py']
model = dict(
    backbone=dict(_base_.backbone, init_cfg=None, drop_path_rate=0.5),
    neck=dict(in_channels=_base_.channels[3]),
    head=dict(in_channels=_base_.channels[3]),
)
param_scheduler = [dict(_base_.param_scheduler[0], warm_up_epochs=20)]
