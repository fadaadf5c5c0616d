_base_ = 'coco_1x.py'
train_cfg = dict(max_epochs=36)
param_scheduler = [_base_.warm_up, dict(type='MultiStepLR', milestones=[27, 33], gamma=0.1)]
