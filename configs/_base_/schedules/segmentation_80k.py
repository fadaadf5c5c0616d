# Polynomial decay from the first iteration. mmengine counts `end - begin - 1` steps.
train_cfg = dict(type='IterBasedTrainLoop', max_iters=80000, val_interval=8000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
param_scheduler = [dict(type='PolyLR', power=0.9, eta_min=1e-6, begin=0, end=80001, by_epoch=False)]
