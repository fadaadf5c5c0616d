_base_ = ['../_base_/recipes/cascade_mask_rcnn_1x_stvit.py', '../_base_/backbones/stvit_s.py']
model = dict(backbone=_base_.backbone, neck=dict(in_channels=_base_.channels))
