_base_ = 'mask_rcnn_1x.py'
model = dict(backbone=dict(drop_path_rate=0.1))
optim_wrapper = dict(
    optimizer=dict(lr=1e-4, weight_decay=0.05), paramwise_cfg=dict(norm_decay_mult=0.0)
)
