_base_ = 'runtime.py'
default_scope = 'mmseg'
default_hooks = dict(
    visualization=dict(type='SegVisualizationHook'),
    logger=dict(log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, save_best='mIoU'),
)  # the first metric is aAcc
visualizer = dict(type='SegLocalVisualizer', vis_backends=_base_.vis_backends)
log_processor = dict(by_epoch=False)
