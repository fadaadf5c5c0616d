"""How a backbone loads weights, whichever function loads them.

It accepts every published layout, logs what was left out in one line, and refuses weights that
don't fit: mmengine would only log the names and go on training from random weights.
"""
import math
import sys
from types import FrameType

import torch
from mmengine.logging import print_log
from torch import nn

from ..errors import UserError
from .identity import identify
from .layouts import CLASSIFIER, Weights, name_classifier, unpack


def read_state_dict(model: nn.Module, state_dict: dict, prefix: str) -> None:
    """Converts the weights under `prefix` in `state_dict`, in place, to those that `model` expects.

    For torch's `load_state_dict(strict=False)` it only translates names and adapts the first
    convolution; torch then loads the names that match and returns the others.

    Raises:
        UserError: The weights don't fit the model; `state_dict` is unchanged.
    """
    part = _loads_part()
    given = {name.removeprefix(prefix): value for name, value in state_dict.items()
             if name.startswith(prefix)}
    if not given and not part:
        raise UserError(
            f"The checkpoint has no weights for the model's {prefix.rstrip('.')}. To load a "
            'backbone alone, use its init_cfg: '
            '--cfg-options model.backbone.init_cfg.checkpoint=FILE')
    try:
        layout, inner_prefix, weights, others = unpack(given)
    except UserError:
        if part:
            return  # too few weights to recognise the layout
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
    if layout.name == 'mmseg' and (prefix or inner_prefix) and (
            getattr(model, 'numerics', '') == 'released'):
        notes.append("to reproduce mmseg's outputs set numerics='mmseg'")

    for name in given:
        del state_dict[prefix + name]
    state_dict.update({prefix + name: value for name, value in weights.items()})
    if notes:
        print_log(f'{identify(weights)} weights: {", ".join(notes)}', logger='current')


def read_classifier(state_dict: dict, prefix: str) -> None:
    """Gives a whole classifier under `prefix` in `state_dict`, in place, `ImageClassifier`'s names.

    Anything else stays as it is, for the modules to read or refuse.
    """
    given = {name.removeprefix(prefix): value for name, value in state_dict.items()
             if name.startswith(prefix)}
    weights = name_classifier(given)
    for name in given:
        del state_dict[prefix + name]
    state_dict.update({prefix + name: value for name, value in weights.items()})


def _loads_part() -> bool:
    """Was torch's `load_state_dict` called with `strict=False`, on this module or a parent?

    torch then returns mismatches to the caller, while mmengine's function of the same name only
    logs them. Both call each module with the same arguments, including `strict=True`, so only the
    call's stack frame tells them apart.
    """
    frame: FrameType | None = sys._getframe()
    while frame and frame.f_code is not nn.Module.load_state_dict.__code__:
        frame = frame.f_back
    return frame is not None and not frame.f_locals['strict']


def _fit_channels(weights: dict, model: nn.Module, notes: list[str]) -> dict:
    """Adapts the first convolution of RGB weights to other numbers of channels, as timm does.

    One channel gets the sum over red, green and blue. More channels cycle through them, scaled by
    3 / channels to keep the magnitude of the outputs.
    """
    name, first = next(iter(model.named_parameters()))
    channels = first.shape[1]
    if channels == 3 or name not in weights or weights[name].shape[1:2] != (3,):
        return weights
    rgb = weights[name]
    if channels == 1:
        fitted = rgb.sum(1, keepdim=True)
    else:
        fitted = rgb.repeat(1, math.ceil(channels / 3), 1, 1)[:, :channels] * (3 / channels)
    notes.append(f'first convolution adapted from 3 channels to {channels}')
    return {**weights, name: fitted}


def _fit_extent(weights: Weights, model: nn.Module, alone: bool, notes: list[str]) -> dict:
    """Drops weights that the model doesn't build, and adds the stage norms that classifiers lack.

    So may a backbone that is loaded `alone`. `notes` gets what was changed.
    """
    kept = {name: value for name, value in weights.items() if not name.startswith(CLASSIFIER)}
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
        notes.append('stage norms newly initialised')
    return fitted


def _is_of_later_stage(name: str, model: nn.Module) -> bool:
    stages = getattr(model, name.partition('.')[0], None)
    if not isinstance(stages, nn.ModuleList):
        return False
    _, stage, part, *_ = name.split('.')
    return int(stage) + (part == 'downsample') >= len(stages)  # a merging opens the next stage


def _check_fit(weights: Weights, expected: Weights) -> None:
    """Raises a UserError with the reason unless names and shapes match."""
    differences = list_differences(weights, expected)
    if not differences:
        return
    theirs, ours = identify(weights), identify(expected)
    odd_names = weights.keys() ^ expected.keys()
    if theirs.is_ours and theirs != ours:
        reason = f'these are {theirs} weights; the config builds {ours}'
    elif odd_names and all(name.startswith('norm_list.') for name in odd_names):
        norms = 'norm_list.0.weight' in weights
        reason = (f'they have {"norms" if norms else "no norms"} after stages; pass '
                  f'norm_after_stage={norms} to the backbone')
    else:
        reason = '; '.join(differences)
    raise UserError(f'The weights do not fit the backbone, and none were loaded: {reason}')


def list_differences(weights: Weights, expected: Weights) -> list[str]:
    """How names and shapes differ, one clause per kind of difference."""
    clauses = []
    for what, names in (('missing', expected.keys() - weights),
                        ('unexpected', weights.keys() - expected)):
        if names:
            clauses.append(f'{len(names)} {what}, such as {min(names)}')
    misshapen = [name for name in expected.keys() & weights
                 if weights[name].shape != expected[name].shape]
    if misshapen:
        first = min(misshapen)
        clauses.append(f'{len(misshapen)} of different shape, such as {first}, '
                       f'{tuple(weights[first].shape)} instead of {tuple(expected[first].shape)}')
    return clauses
