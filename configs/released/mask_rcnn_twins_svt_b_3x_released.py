_base_ = ['../_base_/recipes/mask_rcnn_3x_released.py', '../_base_/backbones/svt_b.py']
model = dict(
    backbone=dict(_base_.backbone, window_padding='zero'), neck=dict(in_channels=_base_.channels)
)
