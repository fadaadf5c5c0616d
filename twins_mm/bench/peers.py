"""The implementations that the bench compares: ours, other Twins, and the paper's rivals."""
import importlib
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from mmengine.registry import MODELS
from torch import nn

from ..checkpoints import convert
from ..families import BACKBONES, FAMILIES, TWINS, VARIANTS


class Peer(NamedTuple):
    """An implementation.

    Attributes:
        module: What has to be importable.
        build: Makes the backbone that is compared with a variant of ours, such as 'svt_s'.
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


def build_ours(variant: str, **kwargs) -> nn.Module:
    """Our backbone of a variant such as 'svt_s'."""
    return MODELS.build(dict(VARIANTS[variant].backbone, **kwargs))


def _compile_ours(variant: str) -> nn.Module:
    model = build_ours(variant)
    model.compile()
    return model


def _build_exported(variant: str) -> nn.Module:
    from .onnx_peer import build_exported  # needs onnxruntime
    return build_exported(variant)


def _build_plain(variant: str) -> nn.Module:
    from .plain_stvit import plain_stvit
    from .plain_twins import plain_twins
    family, size, _ = VARIANTS[variant]
    model = (plain_stvit(size) if family.backbone == 'STViT'
             else plain_twins(family.backbone, family.archs[size]))
    model.load_state_dict({**model.state_dict(), **build_ours(variant).state_dict()})
    return model


def _build_mmseg(variant: str) -> nn.Module:
    weights = convert(build_ours(variant).state_dict(), 'mmseg')
    family, size, _ = VARIANTS[variant]
    arch = {name.replace('window', 'windiow'): list(values)  # as mmseg spells it
            for name, values in family.archs[size].items()}
    model = MODELS.build(dict(type=f'mmseg.{family.backbone.removeprefix("Twins")}', qkv_bias=True,
                              drop_path_rate=0.2, **arch))
    model.load_state_dict(weights, strict=False)
    return model


def _build_timm(variant: str) -> nn.Module:
    import timm
    family, size, _ = VARIANTS[variant]
    # timm has one norm, after the last stage.
    options = dict(norm_after_stage=False) if family.source == TWINS else {}
    weights = convert(build_ours(variant, **options).state_dict(), 'timm')
    model = timm.create_model(f'twins_{family.name}_{size}', num_classes=0, drop_path_rate=0.2)
    model.load_state_dict(weights, strict=False)
    return model


def _build_rival(rival: str, variant: str) -> nn.Module:
    family, size, _ = VARIANTS[variant]
    if rival not in family.rivals:
        raise ValueError(f'{rival} is not compared with {family.title}')
    return MODELS.build(family.rivals[rival][size])


def _build_ablation(name: str, variant: str) -> nn.Module:
    if not name.startswith(f'{variant}_'):
        raise ValueError(f'not an ablation of {variant}')
    return MODELS.build(BACKBONES[name].backbone)


# The rows of the paper's Tables 5 and 6.
ABLATION_PEERS = {name: Peer('twins_mm', partial(_build_ablation, name))
                  for name in BACKBONES if name not in VARIANTS}
PEERS = {
    'twins_mm': Peer('twins_mm', build_ours),
    'twins_mm, checkpointed': Peer('twins_mm', partial(build_ours, with_cp=True)),
    'twins_mm, compiled': Peer('twins_mm', _compile_ours),
    'onnxruntime': Peer('twins_mm.bench.onnx_peer', _build_exported),
    'plain': Peer('twins_mm', _build_plain),
    'mmseg': Peer('mmseg.models', _build_mmseg),
    'timm': Peer('timm', _build_timm),
    **{rival: Peer('mmdet.models', partial(_build_rival, rival))
       for family in FAMILIES.values() for rival in family.rivals},
    **ABLATION_PEERS,
}
