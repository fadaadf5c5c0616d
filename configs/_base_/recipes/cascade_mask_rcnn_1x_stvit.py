_base_ = ['mask_rcnn_1x_stvit.py', '../models/cascade_mask_rcnn.py']
model = _base_.cascade
