# Table 6, 2D separable convolution.
backbone = dict(type='TwinsSVT', arch='small', sub_sampling='separable_convolution')
channels = [64, 128, 256, 512]
