_base_ = ['../_base_/recipes/mask_rcnn_1x.py', '../_base_/backbones/swin_t_cpvt.py']
model = dict(backbone=_base_.backbone, neck=dict(in_channels=_base_.channels))
