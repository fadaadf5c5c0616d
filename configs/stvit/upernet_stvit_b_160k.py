_base_ = ['../_base_/recipes/upernet_160k_stvit.py', '../_base_/backbones/stvit_b.py']
model = dict(
    backbone=dict(_base_.backbone, drop_path_rate=0.3),
    decode_head=dict(in_channels=_base_.channels),
    auxiliary_head=dict(in_channels=_base_.channels[2]),
)
