# On no hub: put the ImageNet weights there, or name them with --cfg-options
# model.backbone.init_cfg.checkpoint=FILE.
backbone = dict(
    type='STViT',
    arch='base',
    init_cfg=dict(type='Pretrained', checkpoint='checkpoints/stvit_base.pth'),
)
channels = [96, 192, 384, 512]
