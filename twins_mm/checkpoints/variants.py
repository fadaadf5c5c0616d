"""Which Twins it is, told from its weights."""
from typing import NamedTuple

from ..models.twins import PCPVT, SVT
from .layouts import Weights


class Variant(NamedTuple):
    """What names and shapes tell of a backbone; `str` gives its name, such as Twins-SVT-S.

    Attributes:
        family: 'PCPVT' or 'SVT'; None if it is neither.
    """

    family: str | None
    embed_dims: tuple[int, ...]
    depths: tuple[int, ...]

    @property
    def size(self) -> str | None:
        """'small', 'base' or 'large'; None if it is another."""
        stages = len(self.depths)
        for size, arch in dict(PCPVT=PCPVT, SVT=SVT).get(self.family or '', {}).items():
            if (arch['embed_dims'][:stages], arch['depths'][:stages]) == self[1:]:
                return size
        return None

    def __str__(self) -> str:
        if self.size:
            return f'Twins-{self.family}-{self.size[0].upper()}'
        name = f'Twins-{self.family}' if self.family else 'unknown Twins'
        return (f'{name} of {", ".join(map(str, self.depths))} blocks with '
                f'{", ".join(map(str, self.embed_dims))} channels')


def identify(backbone: Weights) -> Variant:
    """The variant of a backbone's weights under our names, as far as its stages go."""
    embed_dims, depths = [], []
    while (patches := f'patch_embeds.{len(depths)}.proj.weight') in backbone:
        blocks = f'blocks.{len(depths)}.'
        depths.append(len({name.split('.')[2] for name in backbone if name.startswith(blocks)}))
        embed_dims.append(len(backbone[patches]))
    return Variant(_find_family(backbone, depths), tuple(embed_dims), tuple(depths))


def _find_family(backbone: Weights, depths: list[int]) -> str | None:
    if 'pos_block.0.proj.0.weight' not in backbone:
        return None
    blocks = [(stage, block) for stage, depth in enumerate(depths) for block in range(depth)]
    local, subsampled = (
        [f'blocks.{stage}.{block}.attn.{part}.weight' in backbone for stage, block in blocks]
        for part in ('qkv', 'q'))
    if all(subsampled) and not any(local):
        return 'PCPVT'
    alternating = [block % 2 == 0 for _, block in blocks]
    if local == alternating and subsampled == [not is_local for is_local in alternating]:
        return 'SVT'
    return None
