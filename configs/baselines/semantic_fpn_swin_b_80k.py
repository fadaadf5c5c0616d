_base_ = ['../_base_/recipes/semantic_fpn_80k.py', '../_base_/backbones/swin_b.py']
model = dict(
    backbone=dict(_base_.backbone, drop_path_rate=0.4), neck=dict(in_channels=_base_.channels)
)
