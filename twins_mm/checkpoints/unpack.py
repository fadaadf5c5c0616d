"""Finds a backbone of ours among weights of every published layout."""

from ..errors import UserError
from ..models.backbone import FAMILIES
from ..models.published_weights import Contents, Weights, split

# Families may share layouts.
LAYOUTS = list(
    {id(layout): layout for family in FAMILIES.values() for layout in family.layouts}.values()
)
_OURS = ' or '.join(dict.fromkeys(family.title.partition('-')[0] for family in FAMILIES.values()))


def unpack(weights: Weights) -> Contents:
    """Splits a state dict of any layout into its backbone and the rest.

    Raises:
        UserError: There is no backbone.
    """
    contents = split(weights, LAYOUTS)
    if contents is None:
        prefixes = sorted({name.removeprefix('module.').partition('.')[0] for name in weights})
        raise UserError(
            f'No {_OURS} backbone found; the weights are of '
            + (', '.join(prefixes[:8]) if prefixes else 'nothing')
        )
    return contents
