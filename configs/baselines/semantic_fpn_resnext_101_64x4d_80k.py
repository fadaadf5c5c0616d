_base_ = ['../_base_/recipes/semantic_fpn_80k.py', '../_base_/backbones/resnext_101_64x4d.py']
model = dict(
    backbone=dict(_base_.segmentor_backbone, _delete_=True), neck=dict(in_channels=_base_.channels)
)
