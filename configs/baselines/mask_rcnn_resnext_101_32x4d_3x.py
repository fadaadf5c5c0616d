_base_ = ['../_base_/recipes/mask_rcnn_3x.py', '../_base_/backbones/resnext_101_32x4d.py']
model = dict(backbone=dict(_base_.backbone, _delete_=True), neck=dict(in_channels=_base_.channels))
