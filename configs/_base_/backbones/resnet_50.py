# It has no drop path, so a config deletes the recipe's.
backbone = dict(
    type='mmdet.ResNet',
    depth=50,
    frozen_stages=1,
    # torchvision's first weights, as in mmdet's own configs.
    init_cfg=dict(
        type='Pretrained', checkpoint='https://download.pytorch.org/models/resnet50-0676ba61.pth'
    ),
)
# In segmentors, all of it is trained. Their stem is three convolutions, which torchvision's weights
# don't fill: the 86 million parameters of the paper's UperNet with ResNet101 are 85.51 with it, and
# 85.49 with torchvision's stem.
segmentor_backbone = dict(
    type='DeepStemResNet',
    depth=backbone['depth'],
    norm_cfg=dict(type='SyncBN'),
    init_cfg=dict(type='Pretrained', checkpoint='hf://timm/resnet50c.gluon_in1k'),
)
channels = [256, 512, 1024, 2048]
