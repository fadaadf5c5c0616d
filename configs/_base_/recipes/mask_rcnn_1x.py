_base_ = ['../models/mask_rcnn.py', '../datasets/coco.py', '../schedules/coco_1x.py', '../mmdet.py']
model = dict(backbone=dict(drop_path_rate=0.2))
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            _base_.load_image,
            _base_.load_boxes_and_masks,
            _base_.single_scale,
            _base_.flip,
            _base_.pack,
        ]
    )
)
val_evaluator = dict(metric=['bbox', 'segm'])
test_evaluator = val_evaluator
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=2e-4, weight_decay=1e-4))
