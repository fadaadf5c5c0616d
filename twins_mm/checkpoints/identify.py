"""Identifies a backbone by its weights."""

from typing import NamedTuple

from ..models.attention import SUB_SAMPLINGS
from ..models.backbone import FAMILIES, Backbone
from ..models.published_weights import Weights
from ..models.variants import BACKBONES, Variant


class Identity(NamedTuple):
    """What names and shapes reveal about a backbone; `str` gives its name, such as Twins-SVT-S.

    Attributes:
        embed_dims: The channels of each stage.
        blocks: The blocks of each stage, as letters of its family; '?' is one of another network.
        sub_sampling: GSA's, if any.
    """

    embed_dims: tuple[int, ...]
    blocks: tuple[str, ...]
    sub_sampling: str

    @property
    def is_ours(self) -> bool:
        """Whether all blocks are known."""
        return bool(self.blocks) and '?' not in ''.join(self.blocks)

    @property
    def family(self) -> type[Backbone] | None:
        """The family whose pattern the blocks repeat; None without one."""
        if not self.is_ours:
            return None
        depths = dict(depths=tuple(map(len, self.blocks)))
        return next(
            (family for family in FAMILIES.values() if self.blocks == family.blocks_of(depths)),
            None,
        )

    @property
    def variant(self) -> Variant | None:
        """The variant of these blocks and widths; None without one."""
        if not self.is_ours:
            return None
        stages = len(self.blocks)
        for variant in BACKBONES.values():
            if self == (
                variant.arch['embed_dims'][:stages],
                variant.family.blocks_of(variant.arch)[:stages],
                variant.sub_sampling,
            ):
                return variant
        return None

    def __str__(self) -> str:
        if self.variant:
            return str(self.variant)
        if not self.blocks:
            return 'unknown Twins'
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

    def norm(family: type[Backbone], stage: int, block: int) -> str:
        return f'{family.block_prefix.format(stage, block)}norm2.weight'

    families = FAMILIES.values()
    family = next((family for family in families if norm(family, 0, 0) in backbone), Backbone)
    embed_dims, blocks = [], []
    while (width := norm(family, len(blocks), 0)) in backbone:
        kinds = ''
        while norm(family, len(blocks), len(kinds)) in backbone:
            prefix = family.block_prefix.format(len(blocks), len(kinds))
            kinds += family.kind_of(prefix, backbone)
        blocks.append(kinds)
        embed_dims.append(len(backbone[width]))
    parts = {name.partition('.attn.')[2] for name in backbone}
    sub_sampling = next(
        (name for name, kind in SUB_SAMPLINGS.items() if kind.mark in parts), 'convolution'
    )
    return Identity(tuple(embed_dims), tuple(blocks), sub_sampling)
