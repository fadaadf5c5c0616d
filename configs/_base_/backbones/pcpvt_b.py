backbone = dict(
    type='TwinsPCPVT',
    arch='base',
    init_cfg=dict(type='Pretrained', checkpoint='hf://timm/twins_pcpvt_base.in1k'),
)
channels = [64, 128, 320, 512]
