"""What a checkpoint is, for a person who is about to use it."""
from pathlib import Path
from typing import NamedTuple

from .files import weights_of
from .layouts import MMSEG, Contents, unpack
from .variants import identify


class Model(NamedTuple):
    """A kind of model in `configs/`, and how its weights are known.

    Attributes:
        modules: What its heads are made of, by the first two parts of a name; those that only
            help in training are not among them.
        classifier: The weight whose rows are for classes.
        rows: How many rows there are for each class, and how many for the background.
        recipe: What the names of its configs begin with.
        num_classes: What its configs have.
    """

    name: str
    modules: set[str]
    classifier: str
    rows: tuple[int, int]
    recipe: str
    num_classes: int

    def is_in(self, contents: Contents) -> bool:
        modules = {'.'.join(name.split('.')[:2]) for name in contents.others
                   if not name.startswith(('neck.', 'auxiliary_head.'))}
        return modules == self.modules and self.classifier in contents.others

    def count_classes(self, contents: Contents) -> int:
        each, background = self.rows
        return (len(contents.others[self.classifier]) - background) // each


def _modules(**heads: str) -> set[str]:
    return {f'{head}.{module}' for head, modules in heads.items() for module in modules.split()}


MODELS = (
    Model('UperNet',
          _modules(decode_head='psp_modules bottleneck lateral_convs fpn_convs fpn_bottleneck '
                               'conv_seg'),
          'decode_head.conv_seg.weight', (1, 0), 'upernet', 150),
    Model('Semantic FPN', _modules(decode_head='scale_heads conv_seg'),
          'decode_head.conv_seg.weight', (1, 0), 'semantic_fpn', 150),
    # A Cascade R-CNN has the same modules, but its classifiers are numbered.
    Model('Mask R-CNN',
          _modules(rpn_head='rpn_conv rpn_cls rpn_reg', roi_head='bbox_head mask_head'),
          'roi_head.bbox_head.fc_cls.weight', (1, 1), 'mask_rcnn', 80),
    Model('RetinaNet', _modules(bbox_head='cls_convs reg_convs retina_cls retina_reg'),
          'bbox_head.retina_cls.weight', (9, 0), 'retinanet', 80),
)
LAYOUTS = dict(released="released: the authors', timm's and twins_mm's names",
               mmseg="mmseg's", mmpretrain="mmpretrain's")


def describe(checkpoint: dict, configs: Path) -> dict[str, str]:
    """What a loaded checkpoint is, by topic.

    Args:
        checkpoint: What mmengine's CheckpointLoader returns.
        configs: Where to look for the configs that fit it.

    Raises:
        UserError: There is no Twins backbone in it.
    """
    weights = weights_of(checkpoint)
    contents = unpack(weights)
    model = next((model for model in MODELS if model.is_in(contents)), None)
    meta = checkpoint.get('meta') or {}
    classes = meta.get('CLASSES') or (meta.get('dataset_meta') or {}).get('classes') or ()
    trained = [f'{key.removesuffix("_version")} {value}' for source in (checkpoint, meta)
               for key, value in source.items()
               if key in ('epoch', 'iter') or key.endswith('_version')]
    count = sum(value.numel() for value in weights.values()) / 1e6
    size = sum(value.nbytes for value in weights.values()) / 2**20
    topics = dict(
        layout=LAYOUTS[contents.layout.name],
        backbone=str(identify(contents.backbone)),
        head=_describe_head(contents, model),
        classes=', '.join(classes[:8]) + ', ...' * (len(classes) > 8),
        trained=', '.join(trained),
        size=f'{count:.2f} M values, {size:.1f} MiB',
        config=_describe_config(contents, model, configs))
    return {topic: text for topic, text in topics.items() if text}


def _describe_head(contents: Contents, model: Model | None) -> str:
    if model:
        return f'{model.name}, {model.count_classes(contents)} classes'
    if contents.others:
        parts = sorted({name.partition('.')[0] for name in contents.others})
        return f'none of our configs: {", ".join(parts)}'
    if 'head.weight' in contents.backbone:
        return f'ImageNet classifier, {len(contents.backbone["head.weight"])} classes'
    return 'none'


def _describe_config(contents: Contents, model: Model | None, configs: Path) -> str:
    variant = identify(contents.backbone)
    if not variant.family or not variant.size or contents.others and not model:
        return 'none'
    name = f'{variant.family.lower()}_{variant.size[0]}'
    if not model:
        return (f'any with {configs}/_base_/backbones/{name}.py, by '
                '--cfg-options model.backbone.init_cfg.checkpoint=FILE')
    pattern = f'{model.recipe}_twins_{name}_*.py'
    paths = sorted(configs.glob(pattern))
    if 'head.weight' in contents.backbone:
        # ImageNet's head in a detector or segmentor shows that the authors' code trained it.
        paths = sorted(configs.glob(f'released/{pattern}')) or paths
    text = ' or '.join(map(str, paths))
    if (num_classes := model.count_classes(contents)) != model.num_classes:
        text += f', with num_classes={num_classes}'
    if contents.layout is MMSEG:
        text += ', with --cfg-options model.backbone.numerics=mmseg'
    return text
