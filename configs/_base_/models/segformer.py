_base_ = 'segmentor.py'
model = dict(decode_head=dict(type='SegformerHead', channels=256))
