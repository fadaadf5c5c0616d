_base_ = ['segformer_160k.py', '../datasets/cityscapes.py']
model = dict(
    data_preprocessor=dict(size=(1024, 1024)),
    decode_head=dict(num_classes=19),
    test_cfg=dict(mode='slide', crop_size=(1024, 1024), stride=(768, 768)),
)
train_dataloader = dict(batch_size=1)
auto_scale_lr = dict(enable=False, base_batch_size=8)  # 8 GPUs x 1
