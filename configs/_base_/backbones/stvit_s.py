# On no hub: put the ImageNet weights there, or name them with --cfg-options
# model.backbone.init_cfg.checkpoint=FILE.
backbone = dict(
    type='STViT',
    arch='small',
    init_cfg=dict(type='Pretrained', checkpoint='checkpoints/stvit_small.pth'),
)
channels = [64, 128, 320, 512]
