_base_ = ['../_base_/recipes/cascade_mask_rcnn_3x_stvit.py', '../_base_/backbones/stvit_b.py']
model = dict(
    backbone=dict(_base_.backbone, drop_path_rate=0.3), neck=dict(in_channels=_base_.channels)
)
