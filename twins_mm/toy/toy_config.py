"""Any detector's or segmentor's config, end to end on toy data: `--toy` of the tools."""
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config

from ..config import count_classes, drop_pretrained, walk
from ..errors import UserError
from .toy_data import ADE_BACKGROUND, ADE_SHAPES, COCO_SHAPES, make_toy_data

SIDE = 128
# Batch size and iterations by what is learned. Fewer images where the heads take most of the time:
# Mask R-CNN's work on 512 boxes an image.
BOXES, MASKS, LABELS = (8, 250), (2, 150), (4, 300)
WARM_UP_ITERS = 40

_LOAD = dict(type='LoadImageFromFile')
_RESIZE = dict(type='Resize', scale=(SIDE, SIDE), keep_ratio=True)
_FLIPS = [dict(type='RandomFlip', prob=0.), dict(type='RandomFlip', prob=1.)]


def use_toy_data(cfg: Config) -> None:
    """Replaces a config's data sets, image scale, batch, schedule and evaluators, in place.

    The model stays as it is, but for its pretrained weights: it starts from random ones. So do
    AMP, parameter-wise settings and hooks.

    Raises:
        UserError: The config is of neither mmdet nor mmseg.
    """
    tasks = dict(mmdet=_use_toy_coco, mmseg=_use_toy_ade20k)
    scope = cfg.get('default_scope')
    if scope not in tasks:
        raise UserError(f'--toy knows detectors (default_scope = "mmdet") and segmentors '
                        f'("mmseg"); this config has default_scope = {scope!r}')
    tasks[scope](cfg, make_toy_data())
    drop_pretrained(cfg)


def _use_toy_coco(cfg: Config, root: Path) -> None:
    from mmdet.datasets import CocoDataset
    with_mask = any(step.get('with_mask') for step in walk(cfg.get('train_dataloader')))
    load_truth = dict(type='LoadAnnotations', with_bbox=True, with_mask=with_mask)
    pack = dict(type='PackDetInputs')
    classes = _classes(cfg, CocoDataset.METAINFO['classes'], COCO_SHAPES)

    def dataset(split: str, pipeline: list, **kwargs) -> dict:
        return dict(
            type='CocoDataset', data_root=str(root / 'coco'), metainfo=dict(classes=classes),
            ann_file=f'annotations/instances_{split}2017.json',
            data_prefix=dict(img=f'{split}2017'), pipeline=pipeline, **kwargs)

    batch_size, max_iters = MASKS if with_mask else BOXES
    _use_loaders(
        cfg, batch_size,
        dataset('train', [_LOAD, load_truth, _RESIZE, dict(type='RandomFlip', prob=0.5), pack],
                filter_cfg=dict(filter_empty_gt=True)),
        dataset('val', [_LOAD, _RESIZE, load_truth, pack], test_mode=True),
        dict(type='CocoMetric', metric=['bbox', 'segm'] if with_mask else ['bbox'],
             ann_file=str(root / 'coco/annotations/instances_val2017.json')))
    _use_schedule(cfg, max_iters, 'DetVisualizationHook')
    cfg.tta_pipeline = [_LOAD, dict(
        type='TestTimeAug', transforms=[[_RESIZE], _FLIPS, [load_truth], [pack]])]


def _use_toy_ade20k(cfg: Config, root: Path) -> None:
    from mmseg.datasets import ADE20KDataset
    load_truth = dict(type='LoadAnnotations', reduce_zero_label=True)
    pack = dict(type='PackSegInputs')
    classes = _classes(
        cfg, ADE20KDataset.METAINFO['classes'], (ADE_BACKGROUND, *ADE_SHAPES))

    def dataset(split: str, pipeline: list) -> dict:
        return dict(
            type='ADE20KDataset', data_root=str(root / 'ADEChallengeData2016'),
            metainfo=dict(classes=classes), pipeline=pipeline,
            data_prefix=dict(img_path=f'images/{split}', seg_map_path=f'annotations/{split}'))

    batch_size, max_iters = LABELS
    _use_loaders(
        cfg, batch_size,
        dataset('training',
                [_LOAD, load_truth, _RESIZE, dict(type='RandomFlip', prob=0.5), pack]),
        dataset('validation', [_LOAD, _RESIZE, load_truth, pack]),
        dict(type='IoUMetric', iou_metrics=['mIoU']))
    _use_schedule(cfg, max_iters, 'SegVisualizationHook')
    cfg.tta_pipeline = [_LOAD, dict(type='TestTimeAug', transforms=[
        [dict(_RESIZE, scale=(SIDE * ratio // 4, SIDE * ratio // 4)) for ratio in range(2, 8)],
        _FLIPS, [load_truth], [pack]])]
    for node in walk(cfg.model):
        if node.get('type') == 'SegDataPreProcessor':
            node.update(size=(SIDE, SIDE), size_divisor=None)


def _classes(cfg: Config, names: Sequence[str], drawn: Sequence[str]) -> Sequence[str]:
    """As many class names as the model has classes, those that are drawn among them."""
    count = count_classes(cfg)
    if not count or count >= len(names):
        return names
    return (*drawn, *(name for name in names if name not in drawn))[:count]


def _use_loaders(cfg: Config, batch_size: int, train: dict, val: dict, evaluator: dict) -> None:
    cfg.train_dataloader = dict(
        batch_size=batch_size, num_workers=2, persistent_workers=True, dataset=train,
        sampler=dict(type='InfiniteSampler', shuffle=True))
    cfg.auto_scale_lr = dict(enable=False, base_batch_size=batch_size)
    cfg.val_dataloader = cfg.test_dataloader = dict(
        batch_size=1, num_workers=2, dataset=val,
        sampler=dict(type='DefaultSampler', shuffle=False))
    cfg.val_evaluator = cfg.test_evaluator = evaluator


def _use_schedule(cfg: Config, max_iters: int, visualization: str) -> None:
    """A schedule by which small images are learned from random weights in minutes on a CPU."""
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters)
    cfg.val_cfg, cfg.test_cfg = dict(type='ValLoop'), dict(type='TestLoop')
    cfg.param_scheduler = [
        dict(type='LinearLR', start_factor=0.01, end=WARM_UP_ITERS, by_epoch=False),
        dict(type='MultiStepLR', milestones=[max_iters * 4 // 5], gamma=0.1, by_epoch=False)]
    cfg.optim_wrapper = dict(
        cfg.get('optim_wrapper') or dict(type='OptimWrapper'),
        optimizer=dict(type='AdamW', lr=4e-4, weight_decay=1e-4), clip_grad=dict(max_norm=5.))
    cfg.optim_wrapper.pop('accumulative_counts', None)
    cfg.log_processor = dict(by_epoch=False)
    cfg.default_hooks = dict(
        cfg.get('default_hooks') or {},
        logger=dict(type='LoggerHook', interval=10, log_metric_by_epoch=False),
        checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=max_iters),
        visualization=dict(type=visualization, draw=True, interval=3))
