# Table 5, (L, L, L).
backbone = dict(type='TwinsSVT', arch='small_lll')
channels = [64, 128, 256]
