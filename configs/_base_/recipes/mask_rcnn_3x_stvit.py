_base_ = 'mask_rcnn_3x.py'
model = dict(backbone=dict(drop_path_rate=0.1))
optim_wrapper = dict(paramwise_cfg=dict(_delete_=True, norm_decay_mult=0.0))
