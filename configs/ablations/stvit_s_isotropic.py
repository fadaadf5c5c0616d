_base_ = ['../_base_/recipes/imagenet_300e_stvit.py', '../_base_/backbones/stvit_s_isotropic.py']
model = dict(
    backbone=_base_.backbone,
    neck=dict(_delete_=True, type='NormedAveragePooling', in_channels=_base_.channels[3]),
    head=dict(in_channels=_base_.channels[3]),
)
