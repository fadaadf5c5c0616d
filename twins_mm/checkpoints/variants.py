"""Which Twins it is, told from its weights."""
from typing import NamedTuple

from ..models.twins import PCPVT, SVT
from .layouts import Weights


class Variant(NamedTuple):
    """What names and shapes tell of a backbone; `str` gives its name, such as Twins-SVT-S."""

    family: str
    embed_dims: tuple[int, ...]
    depths: tuple[int, ...]

    @property
    def size(self) -> str | None:
        """'small', 'base' or 'large'; None if it is another."""
        stages = len(self.depths)
        for size, arch in dict(PCPVT=PCPVT, SVT=SVT)[self.family].items():
            if (arch['embed_dims'][:stages], arch['depths'][:stages]) == self[1:]:
                return size
        return None

    def __str__(self) -> str:
        if self.size:
            return f'Twins-{self.family}-{self.size[0].upper()}'
        return (f'Twins-{self.family} of {", ".join(map(str, self.depths))} blocks with '
                f'{", ".join(map(str, self.embed_dims))} channels')


def identify(backbone: Weights) -> Variant:
    """The variant of a backbone's weights under our names, as far as its stages go."""
    embed_dims, depths = [], []
    while (patches := f'patch_embeds.{len(depths)}.proj.weight') in backbone:
        blocks = f'blocks.{len(depths)}.'
        depths.append(len({name.split('.')[2] for name in backbone if name.startswith(blocks)}))
        embed_dims.append(len(backbone[patches]))
    family = 'SVT' if 'blocks.0.0.attn.qkv.weight' in backbone else 'PCPVT'
    return Variant(family, tuple(embed_dims), tuple(depths))
