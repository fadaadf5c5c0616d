"""The layouts of names that Twins weights are published in, and the way from each to any other.

Our names are the released ones, and timm's. A layout is a map from the beginnings of these names
to the beginnings of its own: `#` is a number, the first row that fits is taken, and what no row
fits keeps its name. On our side of a map, GSA's `attn` is called `gsa`: mmseg names its projection
otherwise than LSA's.
"""
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch

from ..errors import UserError

Weights = Mapping[str, torch.Tensor]


class Layout(NamedTuple):
    """One way to name the weights of a backbone.

    Attributes:
        mark: A name that only this layout has.
        names: The map from our names.
        fused_gsa: Queries, keys and values of GSA are one tensor, called `gsa.qkv` in the map.
    """

    name: str
    mark: str
    names: Mapping[str, str]
    fused_gsa: bool = False


def _openmmlab(blocks: str) -> dict[str, str]:
    """What the names of mmseg and mmpretrain have in common."""
    return {
        'patch_embeds.#.proj.': 'patch_embeds.#.projection.',
        'pos_block.#.proj.0.': 'position_encodings.#.proj.',
        'blocks.#.#.mlp.fc1.': f'{blocks}.#.#.ffn.layers.0.0.',
        'blocks.#.#.mlp.fc2.': f'{blocks}.#.#.ffn.layers.1.',
        'blocks.#.#.': f'{blocks}.#.#.',
    }


RELEASED = Layout('released', 'blocks.0.0.norm1.weight', {})
MMSEG = Layout('mmseg', 'layers.0.0.norm1.weight', {
    'blocks.#.#.gsa.qkv.': 'layers.#.#.attn.attn.in_proj_',
    'blocks.#.#.gsa.proj.': 'layers.#.#.attn.attn.out_proj.',
    **_openmmlab('layers')}, fused_gsa=True)
# mmpretrain has one name for the norm after the last stage and for a classifier's final norm.
MMPRETRAIN_PYRAMID = Layout('mmpretrain', 'norm_after_stage0.weight', {
    'norm_list.#.': 'norm_after_stage#.', **_openmmlab('stages')})
MMPRETRAIN = Layout('mmpretrain', 'stages.0.0.norm1.weight', {
    'norm.': 'norm_after_stage3.', **_openmmlab('stages')})
LAYOUTS = (RELEASED, MMSEG, MMPRETRAIN_PYRAMID, MMPRETRAIN)

TARGETS = ('twins_mm', 'timm', 'mmseg', 'mmpretrain')


class Contents(NamedTuple):
    """A state dict taken apart.

    Attributes:
        layout: What the backbone's names were.
        prefix: What stood before them, such as 'backbone.'.
        backbone: Its weights under our names, without prefix; a classifier's `norm` and `head`
            among them.
        others: The rest, such as a segmentor's heads, under the names it had.
    """

    layout: Layout
    prefix: str
    backbone: dict[str, torch.Tensor]
    others: dict[str, torch.Tensor]


def unpack(weights: Weights) -> Contents:
    """Finds the Twins backbone in a state dict of any layout.

    Raises:
        UserError: There is none.
    """
    weights = {name.removeprefix('module.'): value for name, value in weights.items()}
    prefix, layout = _find_backbone(weights)
    backbone, others = {}, {}
    for name, value in weights.items():
        if name.startswith(prefix):
            backbone[name.removeprefix(prefix)] = value
        else:
            others[name] = value
    backbone = _to_released(backbone, layout)
    if layout.name == 'mmpretrain':
        backbone |= _rename(_pop(others, 'head.fc.'), {'head.fc.': 'head.'})
    return Contents(layout, prefix, backbone, others)


def convert(weights: Weights, to: str) -> dict[str, torch.Tensor]:
    """Gives a Twins backbone, classifier, detector or segmentor the names of another layout.

    A detector's and a segmentor's heads stay as they are, but for timm, which has no place for
    them. What has no such heads has no prefix either, but for mmpretrain, whose own has. There
    and back gives the same again.

    Args:
        weights: A state dict in any layout.
        to: One of `TARGETS`.

    Raises:
        UserError: There is no Twins backbone, or timm's can't be it.
    """
    layout, prefix, backbone, others = unpack(weights)
    pyramid = 'norm_list.0.weight' in backbone
    if to == 'timm':
        if pyramid:
            raise UserError("These weights have a norm after each stage, and timm's Twins has "
                            'none: there they would compute something else')
        return backbone
    if not others:
        prefix = 'backbone.' if to == 'mmpretrain' else ''
    if to == 'mmseg':
        backbone = _from_released(backbone, MMSEG)
    elif to == 'mmpretrain':
        others |= _rename(_pop(backbone, 'head.'), {'head.': 'head.fc.'})
        backbone = _from_released(backbone, MMPRETRAIN_PYRAMID if pyramid else MMPRETRAIN)
    return {**{prefix + name: value for name, value in backbone.items()}, **others}


def _find_backbone(names: Iterable[str]) -> tuple[str, Layout]:
    names = set(names)
    for name in sorted(names):
        prefix, found, _ = name.rpartition('patch_embeds.0.norm.weight')
        for layout in LAYOUTS if found else ():
            if prefix + layout.mark in names:
                return prefix, layout
    beginnings = sorted({name.partition('.')[0] for name in names})
    raise UserError('There is no Twins backbone in it, but '
                    + (', '.join(beginnings[:8]) if names else 'nothing'))


def _pop(weights: dict, prefix: str) -> dict:
    return {name: weights.pop(name) for name in list(weights) if name.startswith(prefix)}


def _rename(weights: Weights, names: Mapping[str, str]) -> dict[str, torch.Tensor]:
    rows = [(re.compile(re.escape(source).replace(r'\#', r'(\d+)')), target.replace('#', '{}'))
            for source, target in names.items()]

    def rename(name: str) -> str:
        for source, target in rows:
            if match := source.match(name):
                return target.format(*match.groups()) + name[match.end():]
        return name

    return {rename(name): value for name, value in weights.items()}


def _to_released(weights: Weights, layout: Layout) -> dict[str, torch.Tensor]:
    weights = _rename(weights, {theirs: ours for ours, theirs in layout.names.items()})
    if layout.fused_gsa:
        weights = _split_gsa(weights)
    return {name.replace('.gsa.', '.attn.'): value for name, value in weights.items()}


def _from_released(weights: Weights, layout: Layout) -> dict[str, torch.Tensor]:
    def mark_gsa(name: str) -> str:
        block, _, rest = name.partition('.attn.')
        return f'{block}.gsa.{rest}' if f'{block}.attn.q.weight' in weights else name

    marked = {mark_gsa(name): value for name, value in weights.items()}
    if layout.fused_gsa:
        marked = _fuse_gsa(marked)
    return {name.replace('.gsa.', '.attn.'): value
            for name, value in _rename(marked, layout.names).items()}


def _fuse_gsa(weights: Weights) -> dict[str, torch.Tensor]:
    fused = {}
    for name, value in weights.items():
        if '.gsa.q.' in name:
            keys_and_values = weights[name.replace('.gsa.q.', '.gsa.kv.')]
            fused[name.replace('.gsa.q.', '.gsa.qkv.')] = torch.cat([value, keys_and_values])
        elif '.gsa.kv.' not in name:
            fused[name] = value
    return fused


def _split_gsa(weights: Weights) -> dict[str, torch.Tensor]:
    split = {}
    for name, value in weights.items():
        if '.gsa.qkv.' in name:
            for part, rows in zip(('q', 'kv'), value.tensor_split([len(value) // 3])):
                # A copy, because a view would be saved with all of what it is a part of.
                split[name.replace('.gsa.qkv.', f'.gsa.{part}.')] = rows.clone()
        else:
            split[name] = value
    return split
