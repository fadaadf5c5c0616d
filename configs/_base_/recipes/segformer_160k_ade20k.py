_base_ = ['segformer_160k.py', '../datasets/ade20k.py']
train_dataloader = dict(batch_size=2)
auto_scale_lr = dict(enable=False, base_batch_size=16)  # 8 GPUs x 2
