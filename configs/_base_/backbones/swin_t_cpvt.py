# Table 7: Swin-T with conditional position encodings instead of its relative position bias.
_base_ = 'swin_t.py'
backbone = dict(type='SwinCPVT')
