"""Identifies a backbone from its weights."""

from typing import NamedTuple

from ..families import BACKBONES, FAMILIES, Family, Variant
from ..models.published_weights import Weights

# What GSA has after `attn.`, by its sub-sampling.
_SUB_SAMPLINGS = {
    'sr.depthwise.weight': 'separable_convolution',
    'sr.weight': 'convolution',
    'norm.weight': 'average_pooling',
}


class Identity(NamedTuple):
    """What names and shapes reveal about a backbone; `str` gives its name, such as Twins-SVT-S.

    Attributes:
        embed_dims: The channels of each stage.
        blocks: The blocks of each stage, as letters of `Family`; '?' is one of another network.
        sub_sampling: GSA's, if any.
    """

    embed_dims: tuple[int, ...]
    blocks: tuple[str, ...]
    sub_sampling: str

    @property
    def is_ours(self) -> bool:
        """Whether all blocks are known."""
        return '?' not in ''.join(self.blocks)

    @property
    def family(self) -> Family | None:
        """The family whose pattern the blocks repeat."""
        depths = dict(depths=tuple(map(len, self.blocks)))
        return next(
            (family for family in FAMILIES.values() if self.blocks == family.blocks_of(depths)),
            None,
        )

    @property
    def variant(self) -> Variant | None:
        """None if the paper has no backbone with these blocks and widths."""
        stages = len(self.blocks)
        for variant in BACKBONES.values():
            arch = variant.family.named_archs[variant.size]
            if self == (
                arch['embed_dims'][:stages],
                variant.family.blocks_of(arch)[:stages],
                variant.sub_sampling,
            ):
                return variant
        return None

    def __str__(self) -> str:
        if self.variant:
            return str(self.variant)
        title = self.family.title if self.family else 'Twins' if self.is_ours else 'unknown Twins'
        blocks = self.blocks if title == 'Twins' else map(len, self.blocks)
        text = (
            f'{title} with {", ".join(map(str, blocks))} blocks and '
            f'{", ".join(map(str, self.embed_dims))} channels'
        )
        if self.sub_sampling != 'convolution':
            text += f', sub-sampled by {self.sub_sampling}'
        return text


def identify(backbone: Weights) -> Identity:
    """Identifies a backbone by its weights under our names; later stages may be missing."""
    names = next(
        (
            family.blocks
            for family in FAMILIES.values()
            if f'{family.blocks.format(0, 0)}norm2.weight' in backbone
        ),
        '',
    )
    embed_dims, blocks = [], []
    while (width := f'{names.format(len(blocks), 0)}norm2.weight') in backbone:
        kinds = ''
        while f'{(block := names.format(len(blocks), len(kinds)))}norm2.weight' in backbone:
            kinds += _kind_of(block, backbone)
        blocks.append(kinds)
        embed_dims.append(len(backbone[width]))
    parts = {name.partition('.attn.')[2] for name in backbone}
    sub_sampling = next(
        (kind for part, kind in _SUB_SAMPLINGS.items() if part in parts), 'convolution'
    )
    return Identity(tuple(embed_dims), tuple(blocks), sub_sampling)


def _kind_of(block: str, backbone: Weights) -> str:
    """The letter of the block whose names begin with `block`."""
    if f'{block}attn.stoken_refine.qkv.weight' in backbone:
        return 'S' if f'{block}pos_embed.conv.weight' in backbone else 'T'
    if 'pos_block.0.proj.0.weight' not in backbone:
        return '?'  # of PVT or Swin
    parts = {part for part in ('q', 'kv', 'qkv') if f'{block}attn.{part}.weight' in backbone}
    return 'L' if parts == {'qkv'} else 'G' if parts == {'q', 'kv'} else '?'
