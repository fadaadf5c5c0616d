"""Converts weights of Twins and STViT to any layout they are published in."""

import torch

from ..errors import UserError
from ..models.backbone import FAMILIES
from ..models.published_weights import Layout, Weights, pop, rename
from .unpack import LAYOUTS, unpack

TARGETS = ('twins_mm', 'timm', *dict.fromkeys(layout.name for layout in LAYOUTS if layout.names))


def convert(weights: Weights, to: str) -> dict[str, torch.Tensor]:
    """Gives a backbone, classifier, detector or segmentor the names of another layout.

    The heads of detectors and segmentors stay unchanged, except for timm, which has no place for
    them. Weights without such heads get no prefix, except mmpretrain's; so a classifier of ours
    gets the authors' names. Round trips are lossless.

    Args:
        weights: A state dict in any layout.
        to: One of `TARGETS`.

    Raises:
        UserError: There is no backbone of ours, or the other library can't represent it.
    """
    layout, prefix, backbone, others = unpack(weights)
    family = next(family for family in FAMILIES.values() if layout in family.layouts)
    if to != 'twins_mm' and len(family.layouts) == 1:
        raise UserError(f'{to} has no {family.title}: its weights have the released names only')
    pyramid = 'norm_list.0.weight' in backbone
    if to == 'timm':
        if pyramid:
            raise UserError(
                "These weights have a norm after each stage, which timm's Twins lacks: "
                'its outputs would differ'
            )
        return backbone
    if not others:
        prefix = 'backbone.' if to == 'mmpretrain' else ''
    if to == 'mmpretrain':
        others |= rename(pop(backbone, 'head.'), {'head.': 'head.fc.'})
    if layouts := [layout for layout in LAYOUTS if layout.name == to]:
        # mmpretrain has two; the first is for pyramids.
        backbone = _from_released(backbone, layouts[0 if pyramid else -1])
    return {**{prefix + name: value for name, value in backbone.items()}, **others}


def _from_released(weights: Weights, layout: Layout) -> dict[str, torch.Tensor]:
    def mark_gsa(name: str) -> str:
        block, _, rest = name.partition('.attn.')
        return f'{block}.gsa.{rest}' if f'{block}.attn.q.weight' in weights else name

    marked = {mark_gsa(name): value for name, value in weights.items()}
    if layout.fused_gsa:
        marked = _fuse_gsa(marked)
    return {
        name.replace('.gsa.', '.attn.'): value
        for name, value in rename(marked, layout.names).items()
    }


def _fuse_gsa(weights: Weights) -> dict[str, torch.Tensor]:
    fused = {}
    for name, value in weights.items():
        if '.gsa.q.' in name:
            partner = name.replace('.gsa.q.', '.gsa.kv.')
            if partner not in weights:
                raise UserError(f'The weights lack {partner.replace(".gsa.", ".attn.")}')
            keys_and_values = weights[partner]
            fused[name.replace('.gsa.q.', '.gsa.qkv.')] = torch.cat([value, keys_and_values])
        elif '.gsa.kv.' not in name:
            fused[name] = value
    return fused
