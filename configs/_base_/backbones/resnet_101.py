_base_ = 'resnet_50.py'
backbone = dict(
    depth=101,
    init_cfg=dict(checkpoint='https://download.pytorch.org/models/resnet101-63fe2227.pth'),
)
segmentor_backbone = dict(
    depth=backbone['depth'], init_cfg=dict(checkpoint='hf://timm/resnet101c.gluon_in1k')
)
