backbone = dict(
    type='TwinsPCPVT',
    arch='small',
    init_cfg=dict(type='Pretrained', checkpoint='hf://timm/twins_pcpvt_small.in1k'),
)
channels = [64, 128, 320, 512]
