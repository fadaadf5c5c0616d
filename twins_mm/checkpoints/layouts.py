"""Converts backbone weights between all published layouts and ours.

Our names are the released ones, which timm uses too.
"""
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch

from ..errors import UserError
from ..families import FAMILIES, Layout

Weights = Mapping[str, torch.Tensor]

# Families may share layouts.
_LAYOUTS = {layout.marks: layout
            for family in FAMILIES.values() for layout in family.layouts}.values()
TARGETS = ('twins_mm', 'timm', *dict.fromkeys(
    layout.name for layout in _LAYOUTS if layout.names))
# mmpretrain's ImageClassifier with our necks: its names, and the released ones.
_IMAGE_CLASSIFIER = {'neck.proj.': 'proj.', 'neck.norm.': 'norm.', 'head.fc.': 'head.'}
# The released names of what a classifier has after its backbone.
CLASSIFIER = tuple(_IMAGE_CLASSIFIER.values())


class Contents(NamedTuple):
    """A state dict split into backbone and the rest.

    Attributes:
        layout: The layout of the backbone's names.
        prefix: The prefix of these names, such as 'backbone.'.
        backbone: The backbone's weights under our names, without prefix, including a classifier's
            `proj`, `norm` and `head`.
        others: The rest, such as a segmentor's heads, under its original names.
    """

    layout: Layout
    prefix: str
    backbone: dict[str, torch.Tensor]
    others: dict[str, torch.Tensor]


def unpack(weights: Weights) -> Contents:
    """Finds the backbone in a state dict of any layout.

    Raises:
        UserError: There is no backbone.
    """
    others = {name.removeprefix('module.'): value for name, value in weights.items()}
    prefix, layout = _find_backbone(others)
    backbone = _to_released(_rename(_pop(others, prefix), {prefix: ''}), layout)
    if 'head.fc.weight' in others:
        for part in _IMAGE_CLASSIFIER:
            backbone |= _rename(_pop(others, part), _IMAGE_CLASSIFIER)
    return Contents(layout, prefix, backbone, others)


def name_classifier(weights: Weights) -> Weights:
    """Gives a whole classifier of any layout the names of mmpretrain's `ImageClassifier`.

    That has our backbone and our neck. Weights of anything else stay as they are.
    """
    try:
        _, _, backbone, others = unpack(weights)
    except UserError:
        return weights
    if others or not {'norm.weight', 'head.weight'} <= backbone.keys():
        return weights
    names = {released: ours for ours, released in _IMAGE_CLASSIFIER.items()}
    return _rename(backbone, {**names, '': 'backbone.'})


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
            raise UserError("These weights have a norm after each stage, which timm's Twins lacks: "
                            'its outputs would differ')
        return backbone
    if not others:
        prefix = 'backbone.' if to == 'mmpretrain' else ''
    if to == 'mmpretrain':
        others |= _rename(_pop(backbone, 'head.'), {'head.': 'head.fc.'})
    if layouts := [layout for layout in _LAYOUTS if layout.name == to]:
        # mmpretrain has two; the first is for pyramids.
        backbone = _from_released(backbone, layouts[0 if pyramid else -1])
    return {**{prefix + name: value for name, value in backbone.items()}, **others}


def _find_backbone(names: Iterable[str]) -> tuple[str, Layout]:
    names = set(names)
    for name in sorted(names):
        for layout in _LAYOUTS:
            prefix = name.removesuffix(layout.marks[0])
            if prefix != name and all(prefix + mark in names for mark in layout.marks):
                return prefix, layout
    prefixes = sorted({name.partition('.')[0] for name in names})
    raise UserError('No Twins or STViT backbone found; the weights are of '
                    + (', '.join(prefixes[:8]) if names else 'nothing'))


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
    return {name.replace('.gsa.', '.attn.'): value for name, value in weights.items()
            if not name.endswith(layout.constants)}


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
                # A copy, because saving a view would save the whole tensor.
                split[name.replace('.gsa.qkv.', f'.gsa.{part}.')] = rows.clone()
        else:
            split[name] = value
    return split
