# mmdet's class, for mmseg too.
backbone = dict(
    type='mmdet.SwinTransformer',
    embed_dims=96,
    depths=[2, 2, 6, 2],
    num_heads=[3, 6, 12, 24],
    convert_weights=True,
    init_cfg=dict(
        type='Pretrained',
        checkpoint='https://github.com/SwinTransformer/storage/releases/download/v1.0.0/'
        'swin_tiny_patch4_window7_224.pth',
    ),
)
channels = [96, 192, 384, 768]
# For the recipes that exempt position encodings from weight decay.
no_decay_of_positions = dict(custom_keys=dict(relative_position_bias_table=dict(decay_mult=0.0)))
