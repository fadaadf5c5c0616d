# COCO 2017. Each recipe builds its training pipeline from these steps.
data_root = 'data/coco/'

load_image = dict(type='LoadImageFromFile')
load_boxes = dict(type='LoadAnnotations', with_bbox=True)
load_boxes_and_masks = dict(type='LoadAnnotations', with_bbox=True, with_mask=True)
flip = dict(type='RandomFlip', prob=0.5)
pack = dict(type='PackDetInputs')

single_scale = dict(type='Resize', scale=(1333, 800), keep_ratio=True)
any_of_11_scales = dict(
    type='RandomChoiceResize',
    scales=[(side, 1333) for side in range(480, 801, 32)],
    keep_ratio=True,
)
# DETR's multi-scale training, which the paper cites and the released code follows.
multi_scale = dict(
    type='RandomChoice',
    transforms=[
        [any_of_11_scales],
        [
            dict(
                type='RandomChoiceResize',
                scales=[(side, 1333) for side in (400, 500, 600)],
                keep_ratio=True,
            ),
            dict(
                type='RandomCrop',
                crop_type='absolute_range',
                crop_size=(384, 600),
                allow_negative_crop=True,
            ),
            any_of_11_scales,
        ],
    ],
)

auto_scale_lr = dict(enable=False, base_batch_size=16)  # 8 GPUs x 2
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    batch_sampler=dict(type='AspectRatioBatchSampler'),
    dataset=dict(
        type='CocoDataset',
        data_root=data_root,
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='train2017/'),
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CocoDataset',
        data_root=data_root,
        ann_file='annotations/instances_val2017.json',
        data_prefix=dict(img='val2017/'),
        test_mode=True,
        pipeline=[load_image, single_scale, load_boxes, pack],
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(
    type='CocoMetric', ann_file=data_root + 'annotations/instances_val2017.json', metric=['bbox']
)
test_evaluator = val_evaluator

tta_pipeline = [
    load_image,
    dict(
        type='TestTimeAug',
        transforms=[
            [single_scale],
            [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)],
            [load_boxes],
            [pack],
        ],
    ),
]
