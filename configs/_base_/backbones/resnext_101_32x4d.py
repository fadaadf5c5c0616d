# It has no drop path, so a config deletes the recipe's.
backbone = dict(
    type='mmdet.ResNeXt',
    depth=101,
    groups=32,
    base_width=4,
    frozen_stages=1,
    init_cfg=dict(type='Pretrained', checkpoint='hf://timm/resnext101_32x4d.gluon_in1k'),
)
channels = [256, 512, 1024, 2048]
