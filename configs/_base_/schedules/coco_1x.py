# 12 epochs; full learning rate at iteration 500. mmengine counts `end - begin - 1` steps.
warm_up = dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=501)
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=12, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
param_scheduler = [warm_up, dict(type='MultiStepLR', milestones=[8, 11], gamma=0.1)]
