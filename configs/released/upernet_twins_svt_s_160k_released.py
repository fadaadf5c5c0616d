_base_ = ['../_base_/recipes/upernet_160k.py', '../_base_/backbones/svt_s.py']
model = dict(
    backbone=dict(_base_.backbone, window_padding='mask_legacy'),
    decode_head=dict(in_channels=_base_.channels),
    auxiliary_head=dict(in_channels=_base_.channels[2]),
)
