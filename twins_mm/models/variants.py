"""Every backbone by name: a family at one size."""

import re
from typing import NamedTuple

from .attention import SUB_SAMPLINGS
from .backbone import FAMILIES, Arch, Backbone
from .twins import TwinsSVT

_SUFFIXES = dict(small='s', base='b', large='l')


class Variant(NamedTuple):
    """A family's backbone at one size; `str` gives the paper's name, such as Twins-SVT-S.

    Attributes:
        size: 'small'; or, in an ablation, another name in the family's `named_archs`.
        sub_sampling: The argument of the class.
    """

    family: type[Backbone]
    size: str
    sub_sampling: str = 'convolution'

    @property
    def name(self) -> str:
        """'svt_s'."""
        return f'{self.family.config_name}_{self._suffix}'

    @property
    def in_configs(self) -> str:
        """'twins_svt_s'."""
        return str(self).lower().replace('-', '_')

    @property
    def backbone(self) -> dict:
        """Its config."""
        config = dict(type=self.family.__name__, arch=self.size)
        if self.sub_sampling != 'convolution':
            config['sub_sampling'] = self.sub_sampling
        return config

    @property
    def arch(self) -> Arch:
        """Its architecture."""
        return self.family.find_arch(self.size)

    @property
    def _suffix(self) -> str:
        """'s'; 's_lllg' or 's_average_pooling' in an ablation; a size of another name as it is."""
        size, *change = self.size.split('_')
        if self.sub_sampling != 'convolution':
            change.append(self.sub_sampling)
        return '_'.join([_SUFFIXES.get(size, size), *change])

    def __str__(self) -> str:
        return f'{self.family.title}-{self._suffix[0].upper()}{self._suffix[1:]}'


def _by_name(*variants: Variant) -> dict[str, Variant]:
    return {variant.name: variant for variant in variants}


VARIANTS = _by_name(
    *(Variant(family, size) for family in FAMILIES.values() for size in family.archs)
)
# And those that ablations compare with them.
BACKBONES = VARIANTS | _by_name(
    *(Variant(family, size) for family in FAMILIES.values() for size in family.ablations),
    *(Variant(TwinsSVT, 'small', kind) for kind in SUB_SAMPLINGS if kind != 'convolution'),
)


def variant_of(name: str) -> Variant | None:
    """The variant in the name of a config; None without one."""
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
