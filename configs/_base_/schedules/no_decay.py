# The released code keeps weight decay from position encodings and norms, as Swin's recipes do.
no_decay = dict(
    custom_keys={'pos_block': dict(decay_mult=0.), 'norm': dict(decay_mult=0.)})
