"""The backbone families, one row each: everything known about them except their networks."""
import re
from collections.abc import Mapping
from typing import NamedTuple


class Layout(NamedTuple):
    """A naming scheme for the weights of a backbone, as a map from prefixes of our names.

    In a map, `#` matches a number, the first matching row applies, and a name that no row matches
    stays. Our side writes GSA's `attn` as `gsa`: mmseg names its projection differently from LSA's.

    Attributes:
        title: Whose names these are.
        marks: Names that occur together only in this layout, without a whole model's prefix.
        names: The map from our names to the layout's.
        fused_gsa: GSA's queries, keys and values are one tensor, `gsa.qkv` in the map.
    """

    name: str
    title: str
    marks: tuple[str, ...]
    names: Mapping[str, str]
    fused_gsa: bool = False


class Family(NamedTuple):
    """A family of backbones.

    Attributes:
        name: In file names and flags: 'svt' in `configs/_base_/backbones/svt_s.py`.
        title: In the paper and, in lower case, in config names: 'Twins-SVT' in
            `upernet_twins_svt_s_160k.py`.
        backbone: The name that the class is registered under.
        archs: Its variants by size, with one value per stage: what the class takes as `arch`.
        attention: For successive blocks, the attention parameter that identifies the kind.
        layouts: The layouts that its weights are published in, ours first.
        rivals: By name and size, the configs of the backbones that the paper compares it with.
    """

    name: str
    title: str
    backbone: str
    archs: Mapping[str, Mapping[str, tuple[int, ...]]]
    attention: tuple[str, ...]
    layouts: tuple[Layout, ...]
    rivals: Mapping[str, Mapping[str, dict]]


class Variant(NamedTuple):
    """A family's backbone at one size; `str` gives the paper's name, such as Twins-SVT-S."""

    family: Family
    size: str

    @property
    def name(self) -> str:
        """'svt_s'."""
        return f'{self.family.name}_{self.size[0]}'

    @property
    def in_configs(self) -> str:
        """'twins_svt_s'."""
        return str(self).lower().replace('-', '_')

    @property
    def backbone(self) -> dict:
        """Its config."""
        return dict(type=self.family.backbone, arch=self.size)

    def __str__(self) -> str:
        return f'{self.family.title}-{self.size[0].upper()}'


def _openmmlab(blocks: str) -> dict[str, str]:
    """The rows that mmseg and mmpretrain share."""
    return {
        'patch_embeds.#.proj.': 'patch_embeds.#.projection.',
        'pos_block.#.proj.0.': 'position_encodings.#.proj.',
        'blocks.#.#.mlp.fc1.': f'{blocks}.#.#.ffn.layers.0.0.',
        'blocks.#.#.mlp.fc2.': f'{blocks}.#.#.ffn.layers.1.',
        'blocks.#.#.': f'{blocks}.#.#.',
    }


_FIRST_NORM = 'patch_embeds.0.norm.weight'
# mmpretrain gives the norm after the last stage and a classifier's final norm the same name.
_TWINS_LAYOUTS = (
    Layout('released', "released: the authors', timm's and twins_mm's names",
           (_FIRST_NORM, 'blocks.0.0.norm1.weight'), {}),
    Layout('mmseg', "mmseg's", (_FIRST_NORM, 'layers.0.0.norm1.weight'), {
        'blocks.#.#.gsa.qkv.': 'layers.#.#.attn.attn.in_proj_',
        'blocks.#.#.gsa.proj.': 'layers.#.#.attn.attn.out_proj.',
        **_openmmlab('layers')}, fused_gsa=True),
    Layout('mmpretrain', "mmpretrain's", (_FIRST_NORM, 'norm_after_stage0.weight'), {
        'norm_list.#.': 'norm_after_stage#.', **_openmmlab('stages')}),
    Layout('mmpretrain', "mmpretrain's", (_FIRST_NORM, 'stages.0.0.norm1.weight'), {
        'norm.': 'norm_after_stage3.', **_openmmlab('stages')}),
)
_PVT_DEPTHS = dict(small=(3, 4, 6, 3), base=(3, 4, 18, 3), large=(3, 8, 27, 3))
_RIVALS = {
    'Swin': {size: dict(
        type='mmdet.SwinTransformer', embed_dims=width, depths=(2, 2, depth, 2),
        num_heads=tuple(width // 32 * 2**stage for stage in range(4)), drop_path_rate=0.2)
        for size, width, depth in (('small', 96, 6), ('base', 96, 18), ('large', 128, 18))},
    'PVT': {size: dict(
        type='mmdet.PyramidVisionTransformer', num_layers=depths, drop_path_rate=0.2)
        for size, depths in _PVT_DEPTHS.items()}}

# Architectures: Tables 9 and 10 with the released code's corrections (depth 4 in PCPVT's second
# stage) and its head counts.
_PCPVT = Family('pcpvt', 'Twins-PCPVT', 'TwinsPCPVT', {
    size: dict(embed_dims=(64, 128, 320, 512), depths=depths, num_heads=(1, 2, 5, 8),
               mlp_ratios=(8, 8, 4, 4), sr_ratios=(8, 4, 2, 1))
    for size, depths in _PVT_DEPTHS.items()
}, ('q',), _TWINS_LAYOUTS, _RIVALS)
_SVT = Family('svt', 'Twins-SVT', 'TwinsSVT', {
    size: dict(embed_dims=tuple(width * 2**stage for stage in range(4)), depths=depths,
               num_heads=tuple(width // 32 * 2**stage for stage in range(4)),
               mlp_ratios=(4, 4, 4, 4), sr_ratios=(8, 4, 2, 1), window_sizes=(7, 7, 7, 7))
    for size, (width, depths) in dict(
        small=(64, (2, 2, 10, 4)), base=(96, (2, 2, 18, 2)), large=(128, (2, 2, 18, 2))).items()
}, ('qkv', 'q'), _TWINS_LAYOUTS, _RIVALS)
FAMILIES = {family.backbone: family for family in (_PCPVT, _SVT)}
VARIANTS = {variant.name: variant for family in FAMILIES.values() for size in family.archs
            for variant in [Variant(family, size)]}


def variant_of(name: str) -> Variant | None:
    """The variant in the name of a config or of a backbone in the paper; None without one."""
    name = name.lower().replace('-', '_')
    return next((variant for variant in VARIANTS.values()
                 if re.search(rf'(^|_){variant.in_configs}(_|$)', name)), None)
