# DeiT's regularisation without repeated augmentation, as released. Its colour jitter of 0.4 is not
# here: timm applies it only where there is no RandAugment.
_base_ = [
    '../models/classifier.py',
    '../datasets/imagenet.py',
    '../schedules/imagenet_300e.py',
    '../mmpretrain.py',
]
bgr_mean = _base_.model.data_preprocessor.mean[::-1]
bgr_std = _base_.model.data_preprocessor.std[::-1]
model = dict(
    backbone=dict(drop_path_rate=0.2),
    # One of the two for each batch, with equal probability.
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]),
)
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            _base_.load_image,
            dict(type='RandomResizedCrop', scale=224, backend='pillow', interpolation='bicubic'),
            dict(type='RandomFlip', prob=0.5),
            # timm's rand-m9-mstd0.5-inc1.
            dict(
                type='RandAugment',
                policies='timm_increasing',
                num_policies=2,
                magnitude_level=9,
                magnitude_std=0.5,
                hparams=dict(pad_val=[round(value) for value in bgr_mean], interpolation='bicubic'),
            ),
            # timm's mode 'pixel', which draws from the normal distribution after normalisation.
            dict(
                type='RandomErasing',
                erase_prob=0.25,
                mode='rand',
                max_area_ratio=1 / 3,
                fill_color=bgr_mean,
                fill_std=bgr_std,
            ),
            _base_.pack,
        ]
    )
)
auto_scale_lr = dict(enable=False, base_batch_size=1024)  # 8 GPUs x 128
# timm's rule: no decay of vectors, which biases and norms are, nor of position encodings.
optim_wrapper = dict(
    type='AmpOptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
    clip_grad=dict(max_norm=5.0),
    paramwise_cfg=dict(flat_decay_mult=0.0, custom_keys={'pos_block': dict(decay_mult=0.0)}),
)
