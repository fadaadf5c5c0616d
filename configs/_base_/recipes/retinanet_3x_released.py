# The released code gives RetinaNet 3x what the paper states for Mask R-CNN 3x alone.
_base_ = ['retinanet_3x.py', '../schedules/no_decay.py']
optim_wrapper = dict(optimizer=dict(weight_decay=0.05), paramwise_cfg=_base_.no_decay)
