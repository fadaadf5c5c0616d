# On no hub: put the ImageNet weights there, or name them with --cfg-options
# model.backbone.init_cfg.checkpoint=FILE.
backbone = dict(
    type='STViT',
    arch='large',
    init_cfg=dict(type='Pretrained', checkpoint='checkpoints/stvit_large.pth'),
)
channels = [96, 192, 448, 640]
