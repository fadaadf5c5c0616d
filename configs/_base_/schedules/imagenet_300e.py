train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=300, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
param_scheduler = [
    dict(type='LateCosineLR', epochs=300, warm_up_epochs=5, warm_up_lr=1e-6, eta_min=1e-5)
]
