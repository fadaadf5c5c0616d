_base_ = 'semantic_fpn_80k.py'
auto_scale_lr = dict(base_batch_size=32)  # 8 GPUs x 4
optim_wrapper = dict(optimizer=dict(weight_decay=1e-4))
