# The released code uses values for RetinaNet 3x that the paper states only for Mask R-CNN 3x.
_base_ = ['retinanet_3x.py', '../schedules/no_decay.py']
optim_wrapper = dict(optimizer=dict(weight_decay=0.05), paramwise_cfg=_base_.no_decay)
