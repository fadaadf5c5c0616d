_base_ = ['../_base_/recipes/retinanet_1x.py', '../_base_/backbones/swin_s.py']
model = dict(backbone=_base_.backbone, neck=dict(in_channels=_base_.channels[1:]))
