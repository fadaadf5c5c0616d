_base_ = ['../_base_/recipes/mask_rcnn_3x_released.py', '../_base_/backbones/pcpvt_s.py']
model = dict(backbone=_base_.backbone, neck=dict(in_channels=_base_.channels))
