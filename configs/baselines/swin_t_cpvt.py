# The norm is the backbone's own.
_base_ = ['../_base_/recipes/imagenet_300e.py', '../_base_/backbones/swin_t_cpvt.py']
model = dict(
    backbone=dict(
        _base_.backbone,
        _delete_=True,
        init_cfg=None,
        out_indices=(3,),
        drop_path_rate=_base_.model.backbone.drop_path_rate,
    ),
    neck=dict(_delete_=True, type='GlobalAveragePooling'),
    head=dict(in_channels=_base_.channels[3]),
)
