_base_ = ['../_base_/recipes/segformer_160k_cityscapes.py', '../_base_/backbones/svt_b.py']
model = dict(backbone=_base_.backbone, decode_head=dict(in_channels=_base_.channels))
