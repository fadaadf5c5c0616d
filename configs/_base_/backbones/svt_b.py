backbone = dict(
    type='TwinsSVT',
    arch='base',
    init_cfg=dict(type='Pretrained', checkpoint='hf://timm/twins_svt_base.in1k'),
)
channels = [96, 192, 384, 768]
