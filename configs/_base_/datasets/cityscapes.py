# Cityscapes, fine annotations, 19 classes. `labelTrainIds` are made of the archive's polygons.
data_root = 'data/cityscapes'

load_image = dict(type='LoadImageFromFile')
load_labels = dict(type='LoadAnnotations')
pack = dict(type='PackSegInputs')
# mmseg's inferencers look for this name.
test_pipeline = [
    load_image,
    dict(type='Resize', scale=(2048, 1024), keep_ratio=True),
    load_labels,
    pack,
]

train_dataloader = dict(
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='CityscapesDataset',
        data_root=data_root,
        data_prefix=dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train'),
        pipeline=[
            load_image,
            load_labels,
            dict(type='RandomResize', scale=(2048, 1024), ratio_range=(0.5, 2.0), keep_ratio=True),
            dict(type='RandomCrop', crop_size=(1024, 1024), cat_max_ratio=0.75),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PhotoMetricDistortion'),
            pack,
        ],
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CityscapesDataset',
        data_root=data_root,
        data_prefix=dict(img_path='leftImg8bit/val', seg_map_path='gtFine/val'),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator

# Six scales as sizes, because `scale_factor` is relative to the stored image.
tta_model = dict(type='SegTTAModel')
tta_pipeline = [
    load_image,
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='Resize', scale=(512 * ratio, 256 * ratio), keep_ratio=True)
                for ratio in range(2, 8)
            ],
            [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)],
            [load_labels],
            [pack],
        ],
    ),
]
