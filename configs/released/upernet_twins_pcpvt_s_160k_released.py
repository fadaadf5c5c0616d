_base_ = ['../_base_/recipes/upernet_160k.py', '../_base_/backbones/pcpvt_s.py']
model = dict(
    backbone=_base_.backbone,
    decode_head=dict(in_channels=_base_.channels),
    auxiliary_head=dict(in_channels=_base_.channels[2]),
)
train_dataloader = dict(batch_size=4)
auto_scale_lr = dict(base_batch_size=32)  # 8 GPUs x 4
