_base_ = [
    '../_base_/recipes/imagenet_300e.py',
    '../_base_/backbones/svt_s_separable_convolution.py',
]
model = dict(
    backbone=_base_.backbone,
    neck=dict(in_channels=_base_.channels[3]),
    head=dict(in_channels=_base_.channels[3]),
)
