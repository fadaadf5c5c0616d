backbone = dict(
    type='TwinsSVT',
    arch='large',
    init_cfg=dict(type='Pretrained', checkpoint='hf://timm/twins_svt_large.in1k'),
)
channels = [128, 256, 512, 1024]
