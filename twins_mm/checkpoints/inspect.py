"""Describes checkpoints for people who want to use them."""

from pathlib import Path

from mmengine.config import Config

from ..config import count_classes
from ..files.shipped import is_released, list_configs
from ..models.published_weights import Contents
from .heads import HEADS, Head
from .identify import identify
from .read import dataset_meta_of, weights_of
from .unpack import unpack


def describe_checkpoint(checkpoint: dict, configs: Path) -> dict[str, str]:
    """Describes a checkpoint from `read_checkpoint`, by topic.

    `configs` is the folder of the configs that may match it.

    Raises:
        UserError: It contains no Twins backbone.
    """
    weights = weights_of(checkpoint)
    contents = unpack(weights)
    head = next((head for head in HEADS if _is_of(head, contents)), None)
    meta = checkpoint.get('meta') or {}
    classes = dataset_meta_of(checkpoint).get('classes') or ()
    trained = [
        f'{key.removesuffix("_version")} {value}'
        for source in (checkpoint, meta)
        for key, value in source.items()
        if key in ('epoch', 'iter') or key.endswith('_version')
    ]
    count = sum(value.numel() for value in weights.values()) / 1e6
    size = sum(value.nbytes for value in weights.values()) / 2**20
    topics = dict(
        layout=contents.layout.title,
        backbone=str(identify(contents.backbone)),
        head=_describe_head(contents, head),
        classes=', '.join(name.strip() for name in classes[:8]) + ', ...' * (len(classes) > 8),
        trained=', '.join(trained),
        size=f'{count:.2f} M values, {size:.1f} MiB',
        config=_describe_config(contents, head, configs),
    )
    return {topic: text for topic, text in topics.items() if text}


def _is_of(head: Head, contents: Contents) -> bool:
    modules = {
        '.'.join(name.split('.')[:2])
        for name in contents.others
        if not name.startswith(('neck.', 'auxiliary_head.'))
    }
    return modules == head.modules and (
        {head.classifier, head.mark} - {''} <= contents.others.keys()
    )


def _count_classes(head: Head, contents: Contents) -> int:
    each, background = head.rows
    return (len(contents.others[head.classifier]) - background) // each


def _describe_head(contents: Contents, head: Head | None) -> str:
    if head:
        return f'{head.title}, {_count_classes(head, contents)} classes'
    if contents.others:
        parts = sorted({name.partition('.')[0] for name in contents.others})
        return f'not in our configs: {", ".join(parts)}'
    if 'head.weight' in contents.backbone:
        count = len(contents.backbone['head.weight'])
        return f'{"ImageNet " * (count == 1000)}classifier, {count} classes'
    return 'none'


def _describe_config(contents: Contents, head: Head | None, configs: Path) -> str:
    variant = identify(contents.backbone).variant
    if not variant or contents.others and not head:
        return 'none'
    if not head:
        start = (
            f'any with {configs}/_base_/backbones/{variant.name}.py, with '
            '--cfg-options model.backbone.init_cfg.checkpoint=FILE'
        )
        if 'head.weight' not in contents.backbone:
            return start
        count = len(contents.backbone['head.weight'])
        options = f', with --cfg-options model.head.num_classes={count}' * (count != 1000)
        classifiers = [f'{path}{options}' for path in list_configs(configs, variant.in_configs)]
        return '; or, to start from, '.join([*classifiers, start])
    # A detector or segmentor that contains ImageNet's head was trained by the authors' code.
    by_authors = 'head.weight' in contents.backbone
    paths = list_configs(configs, f'{head.recipe}_{variant.in_configs}_*')
    paths = [path for path in paths if is_released(path.stem) == by_authors] or paths
    if not paths:
        return 'none'
    num_classes = _count_classes(head, contents)
    fitting = [path for path in paths if count_classes(Config.fromfile(path)) == num_classes]
    text = ' or '.join(map(str, fitting or paths))
    if not fitting:
        text += f', with num_classes={num_classes}'
    if contents.layout.name == 'mmseg':
        text += ', with --cfg-options model.backbone.numerics=mmseg'
    return text
