_base_ = ['../_base_/recipes/upernet_160k.py', '../_base_/backbones/resnet_101.py']
model = dict(
    backbone=dict(_base_.segmentor_backbone, _delete_=True),
    decode_head=dict(in_channels=_base_.channels),
    auxiliary_head=dict(in_channels=_base_.channels[2]),
)
