"""Fits a recipe to a user's own data; called in the user's config."""

import os
from collections.abc import Sequence
from colorsys import hsv_to_rgb
from copy import deepcopy
from typing import Any

from mmengine.config import Config, ConfigDict

from ..config import data_sets, heads_with_classes, resize_scale, schedulers, walk
from ..errors import UserError
from ..tasks import task_of

# What a pipeline's steps and SegDataPreProcessor call a size in pixels.
_SIZES = {'scale', 'scales', 'img_scale', 'crop_size', 'size'}
_SHARE_OF_WARM_UP = 1 / 12
_GOLDEN_RATIO = 0.618034


def use_own_data(
    cfg: Config | ConfigDict,
    classes: Sequence[str],
    data_root: str,
    train: dict,
    val: dict,
    length: int,
    test: dict | None = None,
    short_side: int | None = None,
    **shared: Any,
) -> None:
    """Replaces a recipe's classes, data sets and length, in place.

    In a config, `cfg` is `_base_`; what the config sets itself still overrides it.

    Args:
        cfg: A detector's or segmentor's config.
        classes: Their names; for boxes and masks, as in the annotation file and in its order.
        data_root: The folder that `ann_file` and `data_prefix` are in.
        train: Arguments of the data set for training, such as `ann_file` and `data_prefix`. Its
            class is CocoDataset or BaseSegDataset, unless `type` is among them.
        val: The same for validation.
        length: How long to train, in epochs or iterations, whichever the recipe counts. The
            schedule and the intervals of validation and checkpoints keep their shares of it;
            a warm-up in a recipe of epochs takes a twelfth, at least two epochs.
        test: The same for testing; by default that for validation.
        short_side: The short side of test images in pixels, by default the recipe's. All sizes in
            the pipelines change in proportion.
        shared: Arguments of all three data sets, such as `img_suffix` and `reduce_zero_label`.

    Raises:
        UserError: `classes` is not a list of different names, an argument is missing, or the task
            is unknown.
    """
    if isinstance(classes, str) or len(set(classes)) < len(classes):
        raise UserError(
            f'classes must be a list of different names, not {classes!r}'
            + ('; a comma makes a tuple of one: ("name",)' * isinstance(classes, str))
        )
    shared = dict(
        task_of(cfg).own_data,
        data_root=data_root,
        metainfo=dict(classes=tuple(classes), palette=_make_palette(len(classes))),
        **shared,
    )
    for part in 'dataloader', 'evaluator':
        cfg[f'test_{part}'] = deepcopy(cfg[f'val_{part}'])
    for split, given in dict(train=train, val=val, test=test or val).items():
        for data_set in data_sets(cfg[f'{split}_dataloader']):
            data_set.update({**shared, **given})
        for node in walk(cfg.get(f'{split}_evaluator')):
            if 'ann_file' in node and 'ann_file' not in given:
                raise UserError(f'{split} has no ann_file, which {node["type"]} reads')
            if 'ann_file' in node:
                node['ann_file'] = os.path.join(data_root, given['ann_file'])
    for node in walk([cfg[key] for key in cfg]):  # a Config is no dict
        if 'Load' in str(node.get('type')):
            node.pop('reduce_zero_label', None)  # the data set says it
    for head in heads_with_classes(cfg):
        head['num_classes'] = len(classes)
    if short_side is not None:
        _resize(cfg, short_side)
    _set_length(cfg, length)


def _make_palette(count: int) -> list[tuple[int, ...]]:
    """RGB colours, 0 to 255, whose neighbours differ; tuples, because mmdet draws no lists."""
    return [
        tuple(round(255 * part) for part in hsv_to_rgb(number * _GOLDEN_RATIO % 1, 0.75, 0.95))
        for number in range(count)
    ]


def _resize(cfg: Config | ConfigDict, short_side: int) -> None:
    scale = resize_scale(cfg)
    if scale is None:
        raise UserError('short_side: the pipeline of val_dataloader has no step with a scale')
    ratio = short_side / min(scale)
    for key in cfg:
        if key.endswith(('_dataloader', '_pipeline')):
            cfg[key] = _scale_sizes(cfg[key], ratio)
    cfg.model.data_preprocessor = _scale_sizes(cfg.model.data_preprocessor, ratio)


def _scale_sizes(node: Any, ratio: float, is_size: bool = False) -> Any:
    """A copy of `node` in which all sizes are multiplied."""
    if isinstance(node, dict):
        return type(node)(
            {key: _scale_sizes(child, ratio, key in _SIZES) for key, child in node.items()}
        )
    if isinstance(node, (list, tuple)):
        return type(node)(_scale_sizes(child, ratio, is_size) for child in node)
    return round(ratio * node) if is_size and isinstance(node, (int, float)) else node


def _set_length(cfg: Config | ConfigDict, length: int) -> None:
    loop = cfg.train_cfg
    unit = 'max_epochs' if 'max_epochs' in loop else 'max_iters'
    old = loop[unit]
    hooks = cfg.get('default_hooks') or {}
    for node, key in (loop, 'val_interval'), (hooks.get('checkpoint') or {}, 'interval'):
        if key in node:
            node[key] = max(1, round(node[key] * length / old))
    loop[unit] = length
    cfg.param_scheduler = [
        _stretch_scheduler(scheduler, old, length, unit == 'max_epochs')
        for scheduler in schedulers(cfg)
    ]


def _stretch_scheduler(scheduler: dict, old: int, new: int, counts_epochs: bool) -> dict:
    scheduler = deepcopy(scheduler)
    if counts_epochs and not scheduler.get('by_epoch', True):
        # The recipe's iterations may be more than the whole run has on a small data set.
        scheduler.update(
            by_epoch=True, convert_to_iter_based=True, end=max(2, round(_SHARE_OF_WARM_UP * new))
        )
        return scheduler
    for key in {'begin', 'end', 'T_max'} & scheduler.keys():
        # One more than the run's length makes up for mmengine counting `end - begin - 1` steps.
        after = scheduler[key] - old
        scheduler[key] = new + after if after in (0, 1) else round(scheduler[key] * new / old)
    if 'milestones' in scheduler:
        scheduler['milestones'] = [round(step * new / old) for step in scheduler['milestones']]
    return scheduler
