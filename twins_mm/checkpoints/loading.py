"""What a backbone does when weights are loaded into it, by whatever function.

It takes every published layout, says in a line what was left out, and refuses what doesn't fit:
mmengine would log the names and train on, from random weights.
"""
import math
import sys
from types import FrameType

import torch
from mmengine.logging import print_log
from torch import nn

from ..errors import UserError
from ..families import FAMILIES
from .layouts import Weights, unpack
from .variants import identify


def read_state_dict(model: nn.Module, state_dict: dict, prefix: str) -> None:
    """Gives what stands under `prefix` in `state_dict` the names and the extent of `model`.

    For torch's `load_state_dict(strict=False)` it translates names, and fits the first convolution;
    torch then loads the names that fit and returns the others.

    Raises:
        UserError: The weights don't fit the model; `state_dict` is as it was.
    """
    part = _loads_part()
    given = {name.removeprefix(prefix): value for name, value in state_dict.items()
             if name.startswith(prefix)}
    if not given and not part:
        raise UserError(
            f"The checkpoint has nothing for the model's {prefix.rstrip('.')}. The weights of a "
            'backbone alone go in its init_cfg: '
            '--cfg-options model.backbone.init_cfg.checkpoint=FILE')
    try:
        layout, inner_prefix, weights, others = unpack(given)
    except UserError:
        if part:
            return  # too little of it to tell the layout
        raise
    notes = [f"{layout.name}'s layout"] if layout.names else []
    if not prefix:
        weights = _fit_channels(weights, model, notes)
    if part:
        weights = {**weights, **others}
    else:
        if others:
            notes.append('heads left out')
        weights = _fit_extent(weights, model, not prefix, notes)
        _check_fit(weights, model.state_dict())
    if layout.name == 'mmseg' and (prefix or inner_prefix) and model.numerics != 'mmseg':
        notes.append("mmseg's own numbers need numerics='mmseg'")

    for name in given:
        del state_dict[prefix + name]
    state_dict.update({prefix + name: value for name, value in weights.items()})
    if notes:
        print_log(f'{identify(weights)} weights: {", ".join(notes)}', logger='current')


def _loads_part() -> bool:
    """Was torch's `load_state_dict` called with `strict=False`, on this module or one around it?

    torch then returns what doesn't fit, so the caller knows. mmengine's function of the same name
    only logs it. Both call each module with the same arguments, and `strict=True` among them, so
    only the frame of the call tells them apart.
    """
    frame: FrameType | None = sys._getframe()
    while frame and frame.f_code is not nn.Module.load_state_dict.__code__:
        frame = frame.f_back
    return frame is not None and not frame.f_locals['strict']


def _fit_channels(weights: dict, model: nn.Module, notes: list[str]) -> dict:
    """Fits the first convolution of RGB weights to images of other channels, as timm does.

    One channel gets the sum over red, green and blue. More get them in turn, times 3 / channels,
    so that outputs keep their size.
    """
    name = next(family.stem for family in FAMILIES.values() if family.stem in model.state_dict())
    channels = model.state_dict()[name].shape[1]
    if channels == 3 or name not in weights or weights[name].shape[1:2] != (3,):
        return weights
    rgb = weights[name]
    if channels == 1:
        fitted = rgb.sum(1, keepdim=True)
    else:
        fitted = rgb.repeat(1, math.ceil(channels / 3), 1, 1)[:, :channels] * (3 / channels)
    notes.append(f'first convolution fitted from 3 channels to {channels}')
    return {**weights, name: fitted}


def _fit_extent(weights: Weights, model: nn.Module, alone: bool, notes: list[str]) -> dict:
    """Leaves out what the model doesn't build, and adds the stage norms that classifiers lack.

    Args:
        weights: A backbone's, under our names.
        model: What they are for.
        alone: The backbone is loaded by itself, so that it may start from a part of its weights.
        notes: What was done is added here.
    """
    kept = {name: value for name, value in weights.items()
            if not name.startswith(('norm.', 'head.'))}
    is_classifier = len(kept) < len(weights)
    if is_classifier:
        notes.append('classifier left out')
    fitted = {name: value for name, value in kept.items()
              if not _is_of_later_stage(name, model)}
    if len(fitted) < len(kept):
        notes.append(f'stages after stage {max(model.out_indices) + 1} left out')
    stage_norms = {name: value for name, value in model.state_dict().items()
                   if name.startswith('norm_list.')}
    if stage_norms and 'norm_list.0.weight' not in fitted and (is_classifier or alone):
        fitted |= {name: torch.full_like(value, float(name.endswith('weight')))
                   for name, value in stage_norms.items()}
        notes.append('stage norms start fresh')
    return fitted


def _is_of_later_stage(name: str, model: nn.Module) -> bool:
    stages = getattr(model, name.partition('.')[0], None)
    return isinstance(stages, nn.ModuleList) and int(name.split('.')[1]) >= len(stages)


def _check_fit(weights: Weights, expected: Weights) -> None:
    """Raises a UserError with the reason unless names and shapes are the same."""
    differences = list_differences(weights, expected)
    if not differences:
        return
    theirs, ours = identify(weights), identify(expected)
    odd_names = weights.keys() ^ expected.keys()
    if theirs.family and theirs != ours:
        reason = f'these are {theirs} weights; the config builds {ours}'
    elif odd_names and all(name.startswith('norm_list.') for name in odd_names):
        norms = 'norm_list.0.weight' in weights
        reason = (f'they have {"norms" if norms else "no norms"} after stages; pass '
                  f'norm_after_stage={norms} to the backbone')
    else:
        reason = '; '.join(differences)
    raise UserError(f'The weights do not fit the backbone, and none was loaded: {reason}')


def list_differences(weights: Weights, expected: Weights) -> list[str]:
    """How names and shapes differ, in a clause for each kind of difference."""
    clauses = []
    for what, names in (('missing', expected.keys() - weights),
                        ('unknown', weights.keys() - expected)):
        if names:
            clauses.append(f'{len(names)} {what}, such as {min(names)}')
    misshapen = [name for name in expected.keys() & weights
                 if weights[name].shape != expected[name].shape]
    if misshapen:
        first = min(misshapen)
        clauses.append(f'{len(misshapen)} of another shape, such as {first}, '
                       f'{tuple(weights[first].shape)} for {tuple(expected[first].shape)}')
    return clauses
