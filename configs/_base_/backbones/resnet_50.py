# It has no drop path, so a config deletes the recipe's.
backbone = dict(
    type='mmdet.ResNet',
    depth=50,
    frozen_stages=1,
    # torchvision://resnet50, which needs torchvision.
    init_cfg=dict(
        type='Pretrained', checkpoint='https://download.pytorch.org/models/resnet50-0676ba61.pth'))
# mmseg's has a stem of three convolutions, and all of it is trained.
segmentor_backbone = dict(
    type='mmseg.ResNetV1c',
    depth=backbone['depth'],
    norm_cfg=dict(type='SyncBN'),
    init_cfg=dict(type='Pretrained', checkpoint='open-mmlab://resnet50_v1c'))
channels = [256, 512, 1024, 2048]
