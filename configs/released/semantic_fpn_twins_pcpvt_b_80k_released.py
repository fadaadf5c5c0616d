_base_ = ['../_base_/recipes/semantic_fpn_80k_released.py', '../_base_/backbones/pcpvt_b.py']
model = dict(backbone=_base_.backbone, neck=dict(in_channels=_base_.channels))
