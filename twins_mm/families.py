"""The backbone families, one row each: what the other rooms know about them."""

import re
from collections.abc import Mapping
from typing import NamedTuple

# An architecture: in each entry, one value per stage.
Arch = Mapping[str, tuple]


class Layout(NamedTuple):
    """A naming scheme for the weights of a backbone, as a map from prefixes of our names.

    In a map, `#` matches a number, the first matching row applies, and a name that no row matches
    stays. Our side writes GSA's `attn` as `gsa`: mmseg names its projection differently from LSA's.

    Attributes:
        title: Whose names these are.
        marks: Names that occur together only in this layout, without a whole model's prefix.
        names: The map from our names to the layout's.
        fused_gsa: GSA's queries, keys and values are one tensor, `gsa.qkv` in the map.
        constants: Endings of names that aren't weights, which are left out.
    """

    name: str
    title: str
    marks: tuple[str, ...]
    names: Mapping[str, str]
    fused_gsa: bool = False
    constants: tuple[str, ...] = ()


class Source(NamedTuple):
    """The paper that families are from."""

    name: str
    title: str
    url: str


TWINS = Source(
    'Twins',
    'Twins: Revisiting the Design of Spatial Attention in Vision Transformers',
    'https://arxiv.org/abs/2104.13840',
)
STVIT = Source(
    'STViT', 'Vision Transformer with Super Token Sampling', 'https://arxiv.org/abs/2211.11167'
)


class Family(NamedTuple):
    """A family of backbones.

    Blocks are letters: L is LSA, G is GSA, S is STViT's, T is that without convolutions.

    Attributes:
        name: In file names and flags: 'svt' in `configs/_base_/backbones/svt_s.py`.
        title: In the paper and, in lower case, in config names: 'Twins-SVT' in
            `upernet_twins_svt_s_160k.py`.
        backbone: The name that the class is registered under.
        archs: Its variants by size, with one value per stage: what the class takes as `arch`.
        ablations: Other architectures of the paper, which the class takes by name too.
        pattern: What each stage's blocks repeat, where an architecture has no `patterns`.
        layouts: The layouts that its weights are published in, ours first.
        rivals: By kin and size, the names in `RIVALS` that the paper compares it with.
        source: The paper that it is from.
        blocks: What the names of a block's weights begin with; stage and block to be filled in.
    """

    name: str
    title: str
    backbone: str
    archs: Mapping[str, Arch]
    ablations: Mapping[str, Arch]
    pattern: str
    layouts: tuple[Layout, ...]
    rivals: Mapping[str, Mapping[str, str]]
    source: Source = TWINS
    blocks: str = 'blocks.{}.{}.'

    @property
    def named_archs(self) -> dict[str, Arch]:
        """Every architecture that the class takes by name."""
        return {**self.archs, **self.ablations}

    def blocks_of(self, arch: Arch) -> tuple[str, ...]:
        """The blocks of each stage, such as 'LGLG'."""
        patterns = arch.get('patterns', [self.pattern] * len(arch['depths']))
        return tuple((pattern * depth)[:depth] for pattern, depth in zip(patterns, arch['depths']))


class Variant(NamedTuple):
    """A family's backbone at one size; `str` gives the paper's name, such as Twins-SVT-S.

    Attributes:
        size: 'small'; or, in an ablation, another name in the family's `named_archs`.
        sub_sampling: The argument of the class.
    """

    family: Family
    size: str
    sub_sampling: str = 'convolution'

    @property
    def name(self) -> str:
        """'svt_s'."""
        return f'{self.family.name}_{self._suffix}'

    @property
    def in_configs(self) -> str:
        """'twins_svt_s'."""
        return str(self).lower().replace('-', '_')

    @property
    def backbone(self) -> dict:
        """Its config."""
        config = dict(type=self.family.backbone, arch=self.size)
        if self.sub_sampling != 'convolution':
            config['sub_sampling'] = self.sub_sampling
        return config

    @property
    def _suffix(self) -> str:
        """'s'; 's_lllg' or 's_average_pooling' in an ablation."""
        size, *change = self.size.split('_')
        if self.sub_sampling != 'convolution':
            change.append(self.sub_sampling)
        return '_'.join([size[0], *change])

    def __str__(self) -> str:
        return f'{self.family.title}-{self._suffix[0].upper()}{self._suffix[1:]}'


class Rival(NamedTuple):
    """A backbone of others in the paper's tables.

    Its architecture and weights are in `configs/_base_/backbones/NAME.py`.

    Attributes:
        name: In the names of files and configs: 'swin_t' in `retinanet_swin_t_1x.py`.
        title: In the paper's tables.
        size: That of the variants that it is compared with.
    """

    name: str
    title: str
    kin: str
    size: str

    @property
    def in_configs(self) -> str:
        """As `Variant.in_configs`."""
        return self.name

    def __str__(self) -> str:
        return self.title


RIVALS = {
    rival.name: rival
    for rival in (
        Rival('resnet_50', 'ResNet50', 'ResNet', 'small'),
        Rival('resnet_101', 'ResNet101', 'ResNet', 'base'),
        Rival('resnext_101_32x4d', 'ResNeXt101-32x4d', 'ResNeXt', 'base'),
        Rival('resnext_101_64x4d', 'ResNeXt101-64x4d', 'ResNeXt', 'large'),
        Rival('pvt_s', 'PVT-Small', 'PVT', 'small'),
        Rival('pvt_m', 'PVT-Medium', 'PVT', 'base'),
        Rival('pvt_l', 'PVT-Large', 'PVT', 'large'),
        Rival('swin_t', 'Swin-T', 'Swin', 'small'),
        Rival('swin_s', 'Swin-S', 'Swin', 'base'),
        Rival('swin_b', 'Swin-B', 'Swin', 'large'),
        Rival('swin_t_cpvt', 'Swin-T + CPVT', 'Swin + CPVT', 'small'),
    )
}


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
    Layout(
        'released',
        "released: the authors', timm's and twins_mm's names",
        (_FIRST_NORM, 'blocks.0.0.norm1.weight'),
        {},
    ),
    Layout(
        'mmseg',
        "mmseg's",
        (_FIRST_NORM, 'layers.0.0.norm1.weight'),
        {
            'blocks.#.#.gsa.qkv.': 'layers.#.#.attn.attn.in_proj_',
            'blocks.#.#.gsa.proj.': 'layers.#.#.attn.attn.out_proj.',
            **_openmmlab('layers'),
        },
        fused_gsa=True,
    ),
    Layout(
        'mmpretrain',
        "mmpretrain's",
        (_FIRST_NORM, 'norm_after_stage0.weight'),
        {'norm_list.#.': 'norm_after_stage#.', **_openmmlab('stages')},
    ),
    Layout(
        'mmpretrain',
        "mmpretrain's",
        (_FIRST_NORM, 'stages.0.0.norm1.weight'),
        {'norm.': 'norm_after_stage3.', **_openmmlab('stages')},
    ),
)
_PVT_DEPTHS = dict(small=(3, 4, 6, 3), base=(3, 4, 18, 3), large=(3, 8, 27, 3))
_RIVALS = {
    kin: {rival.size: rival.name for rival in RIVALS.values() if rival.kin == kin}
    for kin in ('Swin', 'PVT')
}

# Architectures: Tables 9 and 10 with the released code's corrections (depth 4 in PCPVT's second
# stage) and its head counts.
_PCPVT = Family(
    'pcpvt',
    'Twins-PCPVT',
    'TwinsPCPVT',
    {
        size: dict(
            embed_dims=(64, 128, 320, 512),
            depths=depths,
            num_heads=(1, 2, 5, 8),
            mlp_ratios=(8, 8, 4, 4),
            sr_ratios=(8, 4, 2, 1),
        )
        for size, depths in _PVT_DEPTHS.items()
    },
    {},
    'G',
    _TWINS_LAYOUTS,
    _RIVALS,
)
_SVT_ARCHS: dict[str, Arch] = {
    size: dict(
        embed_dims=tuple(width * 2**stage for stage in range(4)),
        depths=depths,
        num_heads=tuple(width // 32 * 2**stage for stage in range(4)),
        mlp_ratios=(4, 4, 4, 4),
        sr_ratios=(8, 4, 2, 1),
        window_sizes=(7, 7, 7, 7),
    )
    for size, (width, depths) in dict(
        small=(64, (2, 2, 10, 4)), base=(96, (2, 2, 18, 2)), large=(128, (2, 2, 18, 2))
    ).items()
}
_SVT_S = _SVT_ARCHS['small']
# Table 5 as its parameters and FLOPs decide, see docs/model_zoo.md.
_SVT = Family(
    'svt',
    'Twins-SVT',
    'TwinsSVT',
    _SVT_ARCHS,
    dict(
        small_lll={
            **{name: values[:3] for name, values in _SVT_S.items() if name != 'sr_ratios'},
            'patterns': ('L', 'L', 'L'),
        },
        small_llg={**_SVT_S, 'patterns': ('LG', 'LG', 'LLG', 'G')},
        small_lllg={**_SVT_S, 'patterns': ('L', 'L', 'L', 'G')},
    ),
    'LG',
    _TWINS_LAYOUTS,
    _RIVALS,
)
# Supplementary Table I, and layer scales as released.
_STVIT_ARCHS: dict[str, Arch] = {
    size: dict(
        embed_dims=dims,
        depths=depths,
        num_heads=heads,
        mlp_ratios=(4, 4, 4, 4),
        grid_sizes=(8, 4, 1, 1),
        layer_scales=(0.0, 0.0, scale, scale),
    )
    for size, dims, depths, heads, scale in (
        ('small', (64, 128, 320, 512), (3, 5, 9, 3), (1, 2, 5, 8), 0.0),
        ('base', (96, 192, 384, 512), (4, 6, 14, 6), (2, 3, 6, 8), 1e-6),
        ('large', (96, 192, 448, 640), (4, 7, 19, 8), (2, 3, 7, 10), 1e-6),
    )
}
_STVIT = Family(
    'stvit',
    'STViT',
    'STViT',
    _STVIT_ARCHS,
    dict(
        small_isotropic={**_STVIT_ARCHS['small'], 'patterns': ('T', 'T', 'T', 'T')},
    ),
    'S',
    (
        Layout(
            'released',
            "released: the authors' and twins_mm's names",
            ('layers.0.blocks.0.attn.stoken_refine.qkv.weight',),
            {},
            constants=('.fold.weights', '.unfold.weights'),
        ),
    ),
    {},
    STVIT,
    blocks='layers.{}.blocks.{}.',
)
FAMILIES = {family.backbone: family for family in (_PCPVT, _SVT, _STVIT)}
VARIANTS = {
    variant.name: variant
    for family in FAMILIES.values()
    for size in family.archs
    for variant in [Variant(family, size)]
}
# Rows of Tables 5 and 6, and of the supplementary Table II of STViT's paper.
ABLATIONS = {
    '(L, L, L)': Variant(_SVT, 'small_lll'),
    '(L, LLG, LLG, G)': Variant(_SVT, 'small_llg'),
    '(L, LG, LG, G)': VARIANTS['svt_s'],
    '(L, L, L, G)': Variant(_SVT, 'small_lllg'),
    '2D Conv.': VARIANTS['svt_s'],
    '2D Separable Conv.': Variant(_SVT, 'small', 'separable_convolution'),
    'Average Pooling': Variant(_SVT, 'small', 'average_pooling'),
    'STViT 64-512': Variant(_STVIT, 'small_isotropic'),
}
# Every backbone above once, by name.
BACKBONES = VARIANTS | {variant.name: variant for variant in ABLATIONS.values()}


def variant_of(name: str) -> Variant | None:
    """The variant in the name of a config or of a row in the paper's tables; None without one."""
    if name in ABLATIONS:
        return ABLATIONS[name]
    name = name.lower().replace('-', '_')
    # Ablations first: their names contain their variant's.
    return next(
        (
            variant
            for variant in reversed(BACKBONES.values())
            if re.search(rf'(^|_){variant.in_configs}(_|$)', name)
        ),
        None,
    )


def backbone_of(row: str) -> Variant | Rival | None:
    """The variant or rival that a row of the paper's tables is of; None without one."""
    return variant_of(row) or rival_of(row)


def rival_of(row: str) -> Rival | None:
    """The rival that a row of the paper's tables is of; None without one."""
    return next((rival for rival in RIVALS.values() if rival.title == row), None)
