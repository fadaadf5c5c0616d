# Linear decay from the first iteration, multiplied by a warm-up to iteration 1500.
_base_ = 'segmentation_80k.py'
train_cfg = dict(max_iters=160000, val_interval=16000)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, begin=0, end=1501, by_epoch=False),
    dict(type='PolyLR', power=1.0, eta_min=0.0, begin=0, end=160001, by_epoch=False),
]
