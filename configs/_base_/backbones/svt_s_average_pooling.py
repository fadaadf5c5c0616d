# Table 6, average pooling.
backbone = dict(type='TwinsSVT', arch='small', sub_sampling='average_pooling')
channels = [64, 128, 256, 512]
