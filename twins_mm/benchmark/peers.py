"""The implementations that are compared: ours, other Twins, and the paper's baselines."""

import importlib
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from ..checkpoints import convert
from ..checkpoints.heads import HEADS, Head
from ..config import adapt_to_cpu, drop_pretrained
from ..files.shipped import CONFIGS, list_configs
from ..models import STViT
from ..models.variants import BACKBONES, VARIANTS, Variant
from ..paper.baselines import TWINS, Baseline, backbone_of, compared_baseline
from ..paper.figures import TABLES


class Peer(NamedTuple):
    """An implementation.

    Attributes:
        module: What has to be importable.
        build: Makes the backbone, or a segmentor with it, that is compared with a variant of ours,
            such as 'svt_s'.
    """

    module: str
    build: Callable[[str], nn.Module]

    @property
    def is_installed(self) -> bool:
        try:
            importlib.import_module(self.module)
        except Exception:  # a broken installation may fail in any way
            return False
        return True


def build_ours(variant: str, **kwargs: Any) -> nn.Module:
    """Our backbone of a variant such as 'svt_s'."""
    return MODELS.build(dict(VARIANTS[variant].backbone, **kwargs))


def _compile_ours(variant: str) -> nn.Module:
    model = build_ours(variant)
    model.compile()
    return model


def _build_exported(variant: str) -> nn.Module:
    from .onnxruntime_peer import build_exported  # needs onnxruntime

    return build_exported(variant)


def _build_textbook(variant: str) -> nn.Module:
    from .textbook_peer import textbook_stvit, textbook_twins  # needs a checkout

    family, size, _ = VARIANTS[variant]
    model = (
        textbook_stvit(size)
        if family is STViT
        else textbook_twins(family.__name__, family.archs[size])
    )
    model.load_state_dict({**model.state_dict(), **build_ours(variant).state_dict()})
    return model


def _build_mmseg(variant: str) -> nn.Module:
    weights = convert(build_ours(variant).state_dict(), 'mmseg')
    family, size, _ = VARIANTS[variant]
    arch = {
        name.replace('window', 'windiow'): list(values)  # as mmseg spells it
        for name, values in family.archs[size].items()
    }
    model = MODELS.build(
        dict(
            type=f'mmseg.{family.__name__.removeprefix("Twins")}',
            qkv_bias=True,
            drop_path_rate=0.2,
            **arch,
        )
    )
    model.load_state_dict(weights, strict=False)
    return model


def _build_timm(variant: str) -> nn.Module:
    import timm

    family, size, _ = VARIANTS[variant]
    # timm has one norm, after the last stage.
    options = dict(norm_after_stage=False) if family in TWINS.families else {}
    weights = convert(build_ours(variant, **options).state_dict(), 'timm')
    model = timm.create_model(
        f'twins_{family.config_name}_{size}', num_classes=0, drop_path_rate=0.2
    )
    model.load_state_dict(weights, strict=False)
    return model


def _build_baseline(name: str, **kwargs: Any) -> nn.Module:
    backbone = Config.fromfile(CONFIGS / f'_base_/backbones/{name}.py').backbone
    return MODELS.build(dict(backbone, drop_path_rate=0.2, **kwargs))


def _build_compared(family: str, variant: str) -> nn.Module:
    ours = VARIANTS[variant]
    baseline = compared_baseline(ours, family)
    if baseline is None:
        raise ValueError(f'{family} is not compared with {ours}')
    return _build_baseline(baseline.name)


# The other rows of Table 1 with a throughput: size and timm's name. CPVT is in no library, and
# ViT-Base is DeiT-Base's network.
_TIMM_ROWS = {
    'RegNetY-4G': ('small', 'regnety_040'),
    'RegNetY-8G': ('base', 'regnety_080'),
    'RegNetY-16G': ('large', 'regnety_160'),
    'DeiT-Small/16': ('small', 'deit_small_patch16_224'),
    'DeiT-Base/16': ('large', 'deit_base_patch16_224'),
}


def size_of(row: str) -> str:
    """The size of the variants that a row of Table 1 is compared with."""
    backbone = backbone_of(row)
    return backbone.size if backbone else _TIMM_ROWS[row][0]


def _build_row(row: str, _: str) -> nn.Module:
    """A row of Table 1 as a classifier without its last layer."""
    backbone = backbone_of(row)
    if isinstance(backbone, Variant):
        return build_ours(backbone.name, out_indices=(3,), norm_after_stage=False)
    if backbone:
        return _build_baseline(backbone.name, out_indices=(3,))
    import timm

    return timm.create_model(_TIMM_ROWS[row][1], num_classes=0)


def _module_of(row: str) -> str:
    """What a row of Table 1 needs; '' if it is nowhere."""
    if row in _TIMM_ROWS:
        return 'timm'
    kinds = {Variant: 'twins_mm', Baseline: 'mmdet.models'}
    return kinds.get(type(backbone_of(row)), '')


def _build_ablation(name: str, variant: str) -> nn.Module:
    if not name.startswith(f'{variant}_'):
        raise ValueError(f'not an ablation of {variant}')
    return MODELS.build(BACKBONES[name].backbone)


def _build_segmentor(head: Head, variant: str) -> nn.Module:
    """As predictions need it: without auxiliary heads, from images to maps of classes."""
    name = f'{head.recipe}_{VARIANTS[variant].in_configs}'
    cfg = Config.fromfile(list_configs(pattern=f'{name}_*')[0])
    adapt_to_cpu(cfg)
    cfg.model.pop('auxiliary_head', None)
    drop_pretrained(cfg)
    with warnings.catch_warnings(), DefaultScope.overwrite_default_scope(cfg.default_scope):
        warnings.filterwarnings('ignore', module='mmseg')  # its heads warn of its own code
        return MODELS.build(cfg.model)


# On ADE20K, with its 150 classes.
SEGMENTOR_PEERS = {
    head.title: Peer('mmseg.models', partial(_build_segmentor, head))
    for head in HEADS
    if head.task == 'semantic_segmentation'
}
# The rows of the paper's Tables 5 and 6.
ABLATION_PEERS = {
    name: Peer('twins_mm', partial(_build_ablation, name))
    for name in BACKBONES
    if name not in VARIANTS
}
# The rows of Table 1 with a throughput.
ROW_PEERS = {
    row: Peer(module, partial(_build_row, row))
    for row, (_, _, throughput, _) in TABLES[1].rows.items()
    if throughput and (module := _module_of(row))
}
PEERS = {
    'twins_mm': Peer('twins_mm', build_ours),
    'twins_mm, checkpointed': Peer('twins_mm', partial(build_ours, with_cp=True)),
    'twins_mm, compiled': Peer('twins_mm', _compile_ours),
    'onnxruntime': Peer('twins_mm.benchmark.onnxruntime_peer', _build_exported),
    'textbook': Peer('twins_mm.benchmark.textbook_peer', _build_textbook),
    'mmseg': Peer('mmseg.models', _build_mmseg),
    'timm': Peer('timm', _build_timm),
    **{
        family: Peer('mmdet.models', partial(_build_compared, family)) for family in ('Swin', 'PVT')
    },
    **ABLATION_PEERS,
    **ROW_PEERS,
    **SEGMENTOR_PEERS,
}
