"""Reads weights of every published layout under our names.

Our names are the released ones, which timm uses too.
"""

import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

import torch
from mmengine.logging import print_log

Weights = Mapping[str, torch.Tensor]

# mmpretrain's ImageClassifier with our necks: its names, and the released ones.
_IMAGE_CLASSIFIER = {'neck.proj.': 'proj.', 'neck.norm.': 'norm.', 'head.fc.': 'head.'}
# The released names of what a classifier has after its backbone.
CLASSIFIER = tuple(_IMAGE_CLASSIFIER.values())


class Layout(NamedTuple):
    """A naming scheme for the weights of a backbone, as a map from prefixes of our names.

    In a map, `#` matches a number, the first matching row applies, and a name that no row matches
    stays. Our side of the map calls the `attn` of a GSA `gsa`, because mmseg has other names for it
    than for LSA's.

    Attributes:
        title: Whose names these are.
        marks: Names of a backbone alone that occur together in no other layout. The first one is
            looked for behind any prefix, such as 'backbone.'.
        names: The map from our names to the layout's.
        fused_gsa: GSA's queries, keys and values are one tensor, `gsa.qkv` in the map.
        constants: Endings of names that aren't weights, which are left out.
    """

    name: str
    title: str
    marks: tuple[str, ...]
    names: Mapping[str, str]
    fused_gsa: bool = False
    constants: tuple[str, ...] = ()


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


def split(weights: Weights, layouts: Collection[Layout]) -> Contents | None:
    """Finds the backbone in a state dict of one of these layouts; None if there is none."""
    others = {name.removeprefix('module.'): value for name, value in weights.items()}
    found = _find_backbone(others, layouts)
    if found is None:
        return None
    prefix, layout = found
    backbone = _to_released(rename(pop(others, prefix), {prefix: ''}), layout)
    if 'head.fc.weight' in others:
        for part in _IMAGE_CLASSIFIER:
            backbone |= rename(pop(others, part), _IMAGE_CLASSIFIER)
    return Contents(layout, prefix, backbone, others)


def name_classifier(weights: Weights, layouts: Collection[Layout]) -> Weights:
    """Gives a whole classifier of these layouts the names of mmpretrain's `ImageClassifier`.

    That has our backbone and our neck. Weights of anything else stay as they are.
    """
    found = split(weights, layouts)
    if found is None or found.others or not {'norm.weight', 'head.weight'} <= found.backbone.keys():
        return weights
    names = {released: ours for ours, released in _IMAGE_CLASSIFIER.items()}
    return rename(found.backbone, {**names, '': 'backbone.'})


def translate_(state_dict: dict, prefix: str, own: Weights, layouts: Collection[Layout]) -> None:
    """Gives the weights under `prefix` in `state_dict`, in place, our names.

    They stay as they are if all names are among the model's `own`, or if none of the layouts is
    recognised. Only constants are left out.
    """
    given = weights_under(prefix, state_dict)
    if given.keys() <= own.keys():
        return
    found = split(given, layouts)
    if found is None:
        return
    if found.layout.names:
        print_log(f"The backbone's weights are in {found.layout.name}'s layout", logger='current')
    replace_(state_dict, prefix, {**found.backbone, **found.others})


def translate_classifier_(state_dict: dict, prefix: str, layouts: Collection[Layout]) -> None:
    """Gives a whole classifier under `prefix`, in place, `ImageClassifier`'s names.

    Anything else stays as it is.
    """
    replace_(state_dict, prefix, name_classifier(weights_under(prefix, state_dict), layouts))


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


def _find_backbone(weights: Weights, layouts: Collection[Layout]) -> tuple[str, Layout] | None:
    """The prefix of its names, and their layout."""
    for name in sorted(weights):
        for layout in layouts:
            prefix = name.removesuffix(layout.marks[0])
            if prefix != name and all(prefix + mark in weights for mark in layout.marks):
                return prefix, layout
    return None


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
