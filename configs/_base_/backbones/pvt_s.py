# mmdet's class, for mmseg too.
backbone = dict(
    type='mmdet.PyramidVisionTransformer',
    num_layers=[3, 4, 6, 3],
    init_cfg=dict(
        type='Pretrained',
        checkpoint='https://github.com/whai362/PVT/releases/download/v2/pvt_small.pth',
    ),
)
channels = [64, 128, 320, 512]
# For the recipes that exempt position encodings from weight decay.
no_decay_of_positions = dict(custom_keys=dict(pos_embed=dict(decay_mult=0.0)))
