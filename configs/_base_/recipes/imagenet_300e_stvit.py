_base_ = 'imagenet_300e.py'
model = dict(
    backbone=dict(_delete_=True, out_indices=(3,), drop_path_rate=0.1),
    neck=dict(_delete_=True, type='ProjectedAveragePooling', out_channels=1024),
    head=dict(in_channels=1024),
)
optim_wrapper = dict(clip_grad=None, paramwise_cfg=dict(_delete_=True, flat_decay_mult=0.0))
