_base_ = ['../_base_/recipes/mask_rcnn_1x.py', '../_base_/backbones/pvt_m.py']
model = dict(backbone=_base_.backbone, neck=dict(in_channels=_base_.channels))
