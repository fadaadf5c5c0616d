"""Identifies a backbone from its weights."""
from itertools import cycle
from typing import NamedTuple

from ..families import FAMILIES, VARIANTS, Family, Variant
from .layouts import Weights


class Identity(NamedTuple):
    """What names and shapes reveal about a backbone; `str` gives its name, such as Twins-SVT-S.

    Attributes:
        family: None if it is not one of ours.
    """

    family: Family | None
    embed_dims: tuple[int, ...]
    depths: tuple[int, ...]

    @property
    def variant(self) -> Variant | None:
        """None if the family has no variant with these depths and widths."""
        stages = len(self.depths)
        for variant in VARIANTS.values():
            arch = variant.family.archs[variant.size]
            if self == (variant.family, arch['embed_dims'][:stages], arch['depths'][:stages]):
                return variant
        return None

    def __str__(self) -> str:
        return str(self.variant or (
            f'{self.family.title if self.family else "unknown Twins"} with '
            f'{", ".join(map(str, self.depths))} blocks and '
            f'{", ".join(map(str, self.embed_dims))} channels'))


def identify(backbone: Weights) -> Identity:
    """Identifies a backbone by its weights under our names; later stages may be missing."""
    embed_dims, depths = [], []
    while (patches := f'patch_embeds.{len(depths)}.proj.weight') in backbone:
        blocks = f'blocks.{len(depths)}.'
        depths.append(len({name.split('.')[2] for name in backbone if name.startswith(blocks)}))
        embed_dims.append(len(backbone[patches]))
    family = next((family for family in FAMILIES.values()
                   if _has_attention_of(family, backbone, depths)), None)
    return Identity(family, tuple(embed_dims), tuple(depths))


def _has_attention_of(family: Family, backbone: Weights, depths: list[int]) -> bool:
    kinds = {kind for row in FAMILIES.values() for kind in row.attention}
    return 'pos_block.0.proj.0.weight' in backbone and all(
        (f'blocks.{stage}.{block}.attn.{kind}.weight' in backbone) == (kind == expected)
        for stage, depth in enumerate(depths)
        for block, expected in zip(range(depth), cycle(family.attention)) for kind in kinds)
