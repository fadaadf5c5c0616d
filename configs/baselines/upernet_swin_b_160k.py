_base_ = ['../_base_/recipes/upernet_160k.py', '../_base_/backbones/swin_b.py']
model = dict(
    backbone=_base_.backbone,
    decode_head=dict(in_channels=_base_.channels),
    auxiliary_head=dict(in_channels=_base_.channels[2]),
)
optim_wrapper = dict(paramwise_cfg=_base_.no_decay_of_positions)
