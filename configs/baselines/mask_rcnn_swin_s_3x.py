_base_ = ['../_base_/recipes/mask_rcnn_3x.py', '../_base_/backbones/swin_s.py']
model = dict(backbone=_base_.backbone, neck=dict(in_channels=_base_.channels))
optim_wrapper = dict(paramwise_cfg=_base_.no_decay_of_positions)
