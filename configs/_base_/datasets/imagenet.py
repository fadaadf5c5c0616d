# ImageNet-1K (ILSVRC 2012). Labels are in meta/*.txt or, without those, the order of the folders.
data_root = 'data/imagenet'

load_image = dict(type='LoadImageFromFile')
pack = dict(type='PackInputs')
# timm's crop of 0.875.
test_pipeline = [
    load_image,
    dict(type='ResizeEdge', scale=256, backend='pillow', interpolation='bicubic'),
    dict(type='CenterCrop', crop_size=224),
    pack,
]

train_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='ImageNet', data_root=data_root, split='train', data_prefix='train'),
)
val_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='ImageNet', data_root=data_root, split='val', data_prefix='val', pipeline=test_pipeline
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='Accuracy', topk=(1, 5))
test_evaluator = val_evaluator
