# Table 5, (L, LLG, LLG, G).
backbone = dict(type='TwinsSVT', arch='small_llg')
channels = [64, 128, 256, 512]
