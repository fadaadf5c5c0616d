_base_ = ['../models/retinanet.py', '../datasets/coco.py', '../schedules/coco_1x.py', '../mmdet.py']
model = dict(backbone=dict(drop_path_rate=0.2))
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            _base_.load_image,
            _base_.load_boxes,
            _base_.single_scale,
            _base_.flip,
            _base_.pack,
        ]
    )
)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-4, weight_decay=1e-4))
