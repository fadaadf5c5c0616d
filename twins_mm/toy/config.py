"""Makes any config of a known task run on toy data, for the tools' `--toy`."""

from collections.abc import Sequence

from mmengine.config import Config

from ..config import count_classes, drop_pretrained, walk
from ..data.data_sets import DATA_SETS
from ..tasks import Task, task_of
from .data import TOY_VERSIONS, make_toy_data

WARM_UP_ITERS = 40

_LOAD = dict(type='LoadImageFromFile')
_FLIP = dict(type='RandomFlip', prob=0.5)


def use_toy_data(cfg: Config) -> None:
    """Replaces a config's data sets, image scale, batch, schedule and evaluators, in place.

    The model stays unchanged, but starts from random weights and mixes no images. AMP,
    parameter-wise settings and hooks stay too.

    Raises:
        UserError: The config belongs to no known task.
    """
    task = task_of(cfg)
    make_toy_data()
    _use_loaders(cfg, task, _name_data_set(cfg, task))
    _use_schedule(cfg, task)
    cfg.tta_pipeline = [
        _LOAD,
        dict(
            type='TestTimeAug',
            transforms=[
                [_resize(task, ratio) for ratio in task.tta_ratios],
                [dict(_FLIP, prob=0.0), dict(_FLIP, prob=1.0)],
                task.load,
                [dict(type=task.pack)],
            ],
        ),
    ]
    for node in walk(cfg.model):
        node.pop('augments', None)  # Mixup and CutMix: toy data is not augmented
        if node.get('type') == 'SegDataPreProcessor':
            node.update(size=(task.toy_side, task.toy_side), size_divisor=None)
    drop_pretrained(cfg)


def _name_data_set(cfg: Config, task: Task) -> str:
    """The data set that a config is for, or its task's if that has no toy version."""
    types = {
        node.get('type') for node in walk([cfg.get('train_dataloader'), cfg.get('test_dataloader')])
    }
    return next(
        (
            name
            for name in TOY_VERSIONS
            if DATA_SETS[name].dataset in {f'{task.scope}.{type_}' for type_ in types}
        ),
        task.toy_data,
    )


def _use_loaders(cfg: Config, task: Task, name: str) -> None:
    data = DATA_SETS[name]
    shared = dict(
        type=data.type, data_root=str(data.toy_folder), metainfo=dict(classes=_classes(cfg, name))
    )
    pack = dict(type=task.pack)
    train = dict(
        **shared,
        **data.splits['train'],
        filter_cfg=data.filter_cfg,
        pipeline=[_LOAD, *task.load, _resize(task), _FLIP, pack],
    )
    val = dict(
        **shared,
        **data.splits['val'],
        test_mode=True,
        pipeline=[_LOAD, _resize(task), *task.load, pack],
    )
    cfg.train_dataloader = dict(
        batch_size=task.toy_batch,
        num_workers=2,
        persistent_workers=True,
        dataset=train,
        sampler=dict(type='InfiniteSampler', shuffle=True),
    )
    cfg.auto_scale_lr = dict(enable=False, base_batch_size=task.toy_batch)
    cfg.val_dataloader = cfg.test_dataloader = dict(
        batch_size=1, num_workers=2, dataset=val, sampler=dict(type='DefaultSampler', shuffle=False)
    )
    evaluator = dict(task.toy_evaluator)
    if 'ann_file' in val:
        evaluator['ann_file'] = str(data.toy_folder / val['ann_file'])
    cfg.val_evaluator = cfg.test_evaluator = evaluator


def _classes(cfg: Config, name: str) -> Sequence[str]:
    """As many class names as the model has classes, including those that the toy data shows."""
    names, shown = DATA_SETS[name].classes, TOY_VERSIONS[name].classes
    count = count_classes(cfg)
    if not count or count >= len(names):
        return names
    return (*shown, *(name for name in names if name not in shown))[:count]


def _resize(task: Task, ratio: float = 1) -> dict:
    side = int(task.toy_side * ratio)
    return dict(type='Resize', scale=(side, side), keep_ratio=True)


def _use_schedule(cfg: Config, task: Task) -> None:
    """Sets a schedule that learns small images from random weights in minutes on a CPU."""
    max_iters = task.toy_iterations
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters)
    cfg.val_cfg, cfg.test_cfg = dict(type='ValLoop'), dict(type='TestLoop')
    cfg.param_scheduler = [
        dict(type='LinearLR', start_factor=0.01, end=WARM_UP_ITERS, by_epoch=False),
        dict(type='MultiStepLR', milestones=[max_iters * 4 // 5], gamma=0.1, by_epoch=False),
    ]
    cfg.optim_wrapper = dict(
        cfg.get('optim_wrapper') or dict(type='OptimWrapper'),
        optimizer=dict(type='AdamW', lr=4e-4, weight_decay=1e-4),
        clip_grad=dict(max_norm=5.0),
    )
    cfg.optim_wrapper.pop('accumulative_counts', None)
    cfg.log_processor = dict(by_epoch=False)
    cfg.default_hooks = dict(
        cfg.get('default_hooks') or {},
        logger=dict(type='LoggerHook', interval=10, log_metric_by_epoch=False),
        checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=max_iters),
        visualization=dict(task.visualization, interval=3),
    )
