"""Reads weights of every published layout under our names.

Our names are the released ones, which timm uses too.
"""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from mmengine.logging import print_log

from ..errors import UserError
from ..families import FAMILIES, Layout

Weights = Mapping[str, torch.Tensor]

# Families may share layouts.
LAYOUTS = {
    layout.marks: layout for family in FAMILIES.values() for layout in family.layouts
}.values()
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
    backbone = _to_released(rename(pop(others, prefix), {prefix: ''}), layout)
    if 'head.fc.weight' in others:
        for part in _IMAGE_CLASSIFIER:
            backbone |= rename(pop(others, part), _IMAGE_CLASSIFIER)
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
    return rename(backbone, {**names, '': 'backbone.'})


def translate_(state_dict: dict, prefix: str, own: Weights) -> None:
    """Gives the weights under `prefix` in `state_dict`, in place, our names.

    Nothing is left out but constants, and weights under names of the model's `own`, or in which
    no layout is recognised, stay as they are.
    """
    given = weights_under(prefix, state_dict)
    if given.keys() <= own.keys():
        return
    try:
        layout, _, backbone, others = unpack(given)
    except UserError:
        return
    if layout.names:
        print_log(f"The backbone's weights are in {layout.name}'s layout", logger='current')
    replace_(state_dict, prefix, {**backbone, **others})


def translate_classifier_(state_dict: dict, prefix: str) -> None:
    """Gives a whole classifier under `prefix`, in place, `ImageClassifier`'s names.

    Anything else stays as it is.
    """
    replace_(state_dict, prefix, name_classifier(weights_under(prefix, state_dict)))


def list_differences(weights: Weights, expected: Weights) -> list[str]:
    """How names and shapes differ, one clause per kind of difference."""
    clauses = []
    for what, names in (
        ('missing', expected.keys() - weights),
        ('unexpected', weights.keys() - expected),
    ):
        if names:
            clauses.append(f'{len(names)} {what}, such as {min(names)}')
    misshapen = [
        name for name in expected.keys() & weights if weights[name].shape != expected[name].shape
    ]
    if misshapen:
        first = min(misshapen)
        clauses.append(
            f'{len(misshapen)} of different shape, such as {first}, '
            f'{tuple(weights[first].shape)} instead of {tuple(expected[first].shape)}'
        )
    return clauses


def weights_under(prefix: str, state_dict: Weights) -> dict[str, torch.Tensor]:
    """The weights whose names begin with `prefix`, without it."""
    return {
        name.removeprefix(prefix): value
        for name, value in state_dict.items()
        if name.startswith(prefix)
    }


def replace_(state_dict: dict, prefix: str, weights: Weights) -> None:
    """Puts `weights` under `prefix`, in place of all that is there."""
    pop(state_dict, prefix)
    state_dict.update({prefix + name: value for name, value in weights.items()})


def _find_backbone(names: Iterable[str]) -> tuple[str, Layout]:
    names = set(names)
    for name in sorted(names):
        for layout in LAYOUTS:
            prefix = name.removesuffix(layout.marks[0])
            if prefix != name and all(prefix + mark in names for mark in layout.marks):
                return prefix, layout
    prefixes = sorted({name.partition('.')[0] for name in names})
    raise UserError(
        'No Twins or STViT backbone found; the weights are of '
        + (', '.join(prefixes[:8]) if names else 'nothing')
    )


def pop(weights: dict, prefix: str) -> dict[str, torch.Tensor]:
    """Takes the weights whose names begin with `prefix` out of a dict."""
    return {name: weights.pop(name) for name in list(weights) if name.startswith(prefix)}


def rename(weights: Weights, names: Mapping[str, str]) -> dict[str, torch.Tensor]:
    """Replaces prefixes of names, as in `Layout.names`; the first row that matches applies."""
    rows = [
        (re.compile(re.escape(source).replace(r'\#', r'(\d+)')), target.replace('#', '{}'))
        for source, target in names.items()
    ]

    def rename(name: str) -> str:
        for source, target in rows:
            if match := source.match(name):
                return target.format(*match.groups()) + name[match.end() :]
        return name

    return {rename(name): value for name, value in weights.items()}


def _to_released(weights: Weights, layout: Layout) -> dict[str, torch.Tensor]:
    weights = rename(weights, {theirs: ours for ours, theirs in layout.names.items()})
    if layout.fused_gsa:
        weights = _split_gsa(weights)
    return {
        name.replace('.gsa.', '.attn.'): value
        for name, value in weights.items()
        if not name.endswith(layout.constants)
    }


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
