_base_ = ['../_base_/recipes/imagenet_300e.py', '../_base_/backbones/svt_s_lll.py']
model = dict(
    backbone=dict(_base_.backbone, out_indices=(2,)),
    neck=dict(in_channels=_base_.channels[2]),
    head=dict(in_channels=_base_.channels[2]),
)
