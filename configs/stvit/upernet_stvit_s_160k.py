_base_ = ['../_base_/recipes/upernet_160k_stvit.py', '../_base_/backbones/stvit_s.py']
model = dict(
    backbone=_base_.backbone,
    decode_head=dict(in_channels=_base_.channels),
    auxiliary_head=dict(in_channels=_base_.channels[2]),
)
