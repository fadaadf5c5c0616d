# Like Swin's recipes, the released code applies no weight decay to position encodings and norms.
no_decay = dict(custom_keys={'pos_block': dict(decay_mult=0.0), 'norm': dict(decay_mult=0.0)})
