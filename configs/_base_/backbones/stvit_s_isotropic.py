# STViT's supplementary Table II, without relative position encoding.
backbone = dict(type='STViT', arch='small_isotropic')
channels = [64, 128, 320, 512]
