"""The backbones in the papers' tables: ours, and the baselines that they are compared with."""

from typing import NamedTuple

from ..models import STViT, TwinsPCPVT, TwinsSVT
from ..models.backbone import Backbone
from ..models.variants import BACKBONES, Variant, variant_of


class Source(NamedTuple):
    """A paper, and the families that are from it."""

    name: str
    title: str
    url: str
    families: tuple[type[Backbone], ...]


TWINS = Source(
    'Twins',
    'Twins: Revisiting the Design of Spatial Attention in Vision Transformers',
    'https://arxiv.org/abs/2104.13840',
    (TwinsPCPVT, TwinsSVT),
)
STVIT = Source(
    'STViT',
    'Vision Transformer with Super Token Sampling',
    'https://arxiv.org/abs/2211.11167',
    (STViT,),
)
# Rows of Tables 5 and 6, and of the supplementary Table II of STViT's paper.
ABLATIONS = {
    '(L, L, L)': BACKBONES['svt_s_lll'],
    '(L, LLG, LLG, G)': BACKBONES['svt_s_llg'],
    '(L, LG, LG, G)': BACKBONES['svt_s'],
    '(L, L, L, G)': BACKBONES['svt_s_lllg'],
    '2D Conv.': BACKBONES['svt_s'],
    '2D Separable Conv.': BACKBONES['svt_s_separable_convolution'],
    'Average Pooling': BACKBONES['svt_s_average_pooling'],
    'STViT 64-512': BACKBONES['stvit_s_isotropic'],
}


class Baseline(NamedTuple):
    """A backbone of others in the tables.

    Its architecture and weights are in `configs/_base_/backbones/NAME.py`.

    Attributes:
        name: In the names of files and configs: 'swin_t' in `retinanet_swin_t_1x.py`.
        title: In the tables.
        size: That of the variants that it is compared with.
    """

    name: str
    title: str
    family: str
    size: str

    @property
    def in_configs(self) -> str:
        """As `Variant.in_configs`."""
        return self.name

    def __str__(self) -> str:
        return self.title


BASELINES = {
    baseline.name: baseline
    for baseline in (
        Baseline('resnet_50', 'ResNet50', 'ResNet', 'small'),
        Baseline('resnet_101', 'ResNet101', 'ResNet', 'base'),
        Baseline('resnext_101_32x4d', 'ResNeXt101-32x4d', 'ResNeXt', 'base'),
        Baseline('resnext_101_64x4d', 'ResNeXt101-64x4d', 'ResNeXt', 'large'),
        Baseline('pvt_s', 'PVT-Small', 'PVT', 'small'),
        Baseline('pvt_m', 'PVT-Medium', 'PVT', 'base'),
        Baseline('pvt_l', 'PVT-Large', 'PVT', 'large'),
        Baseline('swin_t', 'Swin-T', 'Swin', 'small'),
        Baseline('swin_s', 'Swin-S', 'Swin', 'base'),
        Baseline('swin_b', 'Swin-B', 'Swin', 'large'),
        Baseline('swin_t_cpvt', 'Swin-T + CPVT', 'Swin + CPVT', 'small'),
    )
}


def our_backbone_of(row: str) -> Variant | None:
    """The variant that a row of the tables is of; None without one."""
    return ABLATIONS.get(row) or variant_of(row)


def baseline_of(row: str) -> Baseline | None:
    """The baseline that a row of the tables is of; None without one."""
    return next((baseline for baseline in BASELINES.values() if baseline.title == row), None)


def backbone_of(row: str) -> Variant | Baseline | None:
    """The variant or baseline that a row of the tables is of; None without one."""
    return our_backbone_of(row) or baseline_of(row)


def compared_baseline(variant: Variant, family: str) -> Baseline | None:
    """The baseline of a family that the paper compares with a variant; None without one."""
    if variant.family not in TWINS.families:
        return None
    wanted = (family, variant.size)
    return next((each for each in BASELINES.values() if (each.family, each.size) == wanted), None)
