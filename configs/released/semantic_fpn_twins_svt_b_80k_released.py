_base_ = ['../_base_/recipes/semantic_fpn_80k_released.py', '../_base_/backbones/svt_b.py']
model = dict(
    backbone=dict(_base_.backbone, window_padding='mask_legacy'),
    neck=dict(in_channels=_base_.channels),
)
