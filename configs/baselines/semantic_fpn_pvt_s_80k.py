_base_ = ['../_base_/recipes/semantic_fpn_80k.py', '../_base_/backbones/pvt_s.py']
model = dict(backbone=_base_.backbone, neck=dict(in_channels=_base_.channels))
