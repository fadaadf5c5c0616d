"""The implementations that the bench compares: ours, the other Twins, and the paper's rivals."""
import importlib
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from ..checkpoints import convert
from ..models.twins import PCPVT, SVT, TwinsPCPVT, TwinsSVT

SIZES = dict(s='small', b='base', l='large')
VARIANTS = [f'{family}_{size}' for family in ('pcpvt', 'svt') for size in SIZES]


class Peer(NamedTuple):
    """An implementation.

    Attributes:
        module: What has to be importable.
        build: Makes the backbone that stands beside a variant, such as 'svt_s', of Twins.
    """

    module: str
    build: Callable[[str], nn.Module]

    @property
    def is_installed(self) -> bool:
        try:
            importlib.import_module(self.module)
        except Exception:  # a peer's broken installation, whatever is wrong with it
            return False
        return True


def build_ours(variant: str, **kwargs) -> nn.Module:
    """Our backbone of a variant such as 'svt_s'."""
    family, size = variant.split('_')
    return dict(pcpvt=TwinsPCPVT, svt=TwinsSVT)[family](SIZES[size], **kwargs)


def _compile_ours(variant: str) -> nn.Module:
    model = build_ours(variant)
    model.compile()
    return model


class _Exported(nn.Module):
    """A backbone in onnxruntime, which knows inference in float32 on a CPU alone."""

    def __init__(self, path: Path):
        super().__init__()
        from ..export.comparison import OnnxModel
        self.levels = OnnxModel(path)

    def train(self, mode: bool = True) -> nn.Module:
        if mode:
            raise RuntimeError('inference only')
        return self

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if torch.is_autocast_enabled('cpu'):
            raise RuntimeError('float32 only')
        return self.levels(images)


def _export_ours(variant: str) -> nn.Module:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'backbone.onnx')
        # What exporting takes is no memory of the model, so it has a process of its own.
        subprocess.run([sys.executable, '-m', 'twins_mm.bench.onnx_peer', variant, path],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return _Exported(path)


def _build_plain(variant: str) -> nn.Module:
    from .plain_twins import plain_twins
    family, size = variant.split('_')
    model = plain_twins(f'Twins{family.upper()}', SIZES[size])
    model.load_state_dict(build_ours(variant).state_dict())
    return model


def _build_mmseg(variant: str) -> nn.Module:
    from mmseg.models.backbones import twins
    family, size = variant.split('_')
    arch = dict(dict(pcpvt=PCPVT, svt=SVT)[family][SIZES[size]])
    if family == 'svt':
        arch['windiow_sizes'] = arch.pop('window_sizes')
    model = getattr(twins, family.upper())(
        qkv_bias=True, drop_path_rate=0.2, **{name: list(values) for name, values in arch.items()})
    model.load_state_dict(convert(build_ours(variant).state_dict(), 'mmseg'), strict=False)
    return model


def _build_timm(variant: str) -> nn.Module:
    import timm
    family, size = variant.split('_')
    return timm.create_model(f'twins_{family}_{SIZES[size]}', num_classes=0, drop_path_rate=0.2)


def _build_swin(variant: str) -> nn.Module:
    """Swin-T, -S and -B, which the paper puts beside Twins-S, -B and -L."""
    from mmdet.models import SwinTransformer
    width, depth = dict(s=(96, 6), b=(96, 18), l=(128, 18))[variant[-1]]
    return SwinTransformer(embed_dims=width, depths=(2, 2, depth, 2), drop_path_rate=0.2,
                           num_heads=tuple(width // 32 * 2**stage for stage in range(4)))


def _build_pvt(variant: str) -> nn.Module:
    """PVT-S, -M and -L."""
    from mmdet.models import PyramidVisionTransformer
    depths = PCPVT[SIZES[variant[-1]]]['depths']
    return PyramidVisionTransformer(num_layers=list(depths), drop_path_rate=0.2)


PEERS = {
    'twins_mm': Peer('twins_mm', build_ours),
    'twins_mm, checkpointed': Peer('twins_mm', lambda variant: build_ours(variant, with_cp=True)),
    'twins_mm, compiled': Peer('twins_mm', _compile_ours),
    'onnxruntime': Peer('twins_mm.bench.onnx_peer', _export_ours),
    'plain': Peer('twins_mm', _build_plain),
    'mmseg': Peer('mmseg.models.backbones.twins', _build_mmseg),
    'timm': Peer('timm', _build_timm),
    'Swin': Peer('mmdet.models', _build_swin),
    'PVT': Peer('mmdet.models', _build_pvt),
}
