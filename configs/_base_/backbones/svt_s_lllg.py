# Table 5, (L, L, L, G).
backbone = dict(type='TwinsSVT', arch='small_lllg')
channels = [64, 128, 256, 512]
