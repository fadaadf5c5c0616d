backbone = dict(
    type='TwinsPCPVT',
    arch='large',
    init_cfg=dict(type='Pretrained', checkpoint='hf://timm/twins_pcpvt_large.in1k'),
)
channels = [64, 128, 320, 512]
