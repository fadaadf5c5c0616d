_base_ = 'resnext_101_32x4d.py'
backbone = dict(
    groups=64, init_cfg=dict(type='Pretrained', checkpoint='hf://timm/resnext101_64x4d.gluon_in1k')
)
# Of mmseg's, all is trained.
segmentor_backbone = dict(
    dict(_base_.backbone, **backbone),
    type='mmseg.ResNeXt',
    frozen_stages=-1,
    norm_cfg=dict(type='SyncBN'),
)
