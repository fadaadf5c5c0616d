# The released code trains in fp16 with a static loss scale.
_base_ = 'mask_rcnn_3x.py'
optim_wrapper = dict(type='AmpOptimWrapper', loss_scale=512.0)
