backbone = dict(
    type='TwinsSVT',
    arch='small',
    init_cfg=dict(type='Pretrained', checkpoint='hf://timm/twins_svt_small.in1k'),
)
channels = [64, 128, 256, 512]
