"""Fits the weights of a file to a model, or refuses them with the reason.

mmengine would only log the names that don't match and go on with random weights.
"""

import math

import torch
from mmengine.logging import print_log
from torch import nn

from ..errors import UserError
from ..models.backbone import Backbone
from ..models.published_weights import (
    CLASSIFIER,
    Weights,
    list_differences,
    name_classifier,
    replace_,
    weights_under,
)
from .identify import identify
from .unpack import LAYOUTS, unpack


def fit_backbone(weights: Weights, model: Backbone, alone: bool = True) -> dict[str, torch.Tensor]:
    """The weights that a backbone loads of a file's, in any layout.

    What it doesn't build is left out, and stage norms that classifiers lack start anew; one line of
    the log says so.

    Args:
        weights: The file's.
        model: The backbone.
        alone: It isn't loaded as a part of a whole model. Then it takes its weights out of a whole
            model's, and adapts those for RGB to its number of channels.

    Raises:
        UserError: They don't fit.
    """
    layout, inner_prefix, weights, others = unpack(weights)
    notes = [f"{layout.name}'s layout"] if layout.names else []
    if alone:
        weights = _fit_channels(weights, model, notes)
        notes += ['heads left out'] * bool(others)
    weights = _fit_extent(weights, model, alone, notes)
    _check_fit(weights, model.state_dict())
    if (
        layout.name == 'mmseg'
        and (inner_prefix or not alone)
        and (getattr(model, 'numerics', '') == 'released')
    ):
        notes.append("to reproduce mmseg's outputs set numerics='mmseg'")
    if notes:
        print_log(f'{identify(weights)} weights: {", ".join(notes)}', logger='current')
    return weights


def fit_model(weights: Weights, model: nn.Module, heads: bool = False) -> dict[str, torch.Tensor]:
    """The weights of a file for a whole model, with what its backbones of ours load.

    Args:
        weights: In any layout; `module.` of a wrapper is left out.
        model: Not wrapped, or a model for test-time augmentation.
        heads: Whether everything else must be there too; mmengine leaves it random.

    Raises:
        UserError: They don't fit.
    """
    fitted = {name.removeprefix('module.'): value for name, value in weights.items()}
    expected = {name.removeprefix('module.'): value for name, value in model.state_dict().items()}
    if 'head.fc.weight' in expected:
        fitted = dict(name_classifier(fitted, LAYOUTS))
    backbones = {
        f'{name}.'.removeprefix('module.').removeprefix('.'): module
        for name, module in model.named_modules()
        if isinstance(module, Backbone)
    }
    for prefix, backbone in backbones.items():
        if not prefix:
            return fit_backbone(fitted, backbone)
        part = weights_under(prefix, fitted)
        if not part:
            raise UserError(
                f"The checkpoint has no weights for the model's {prefix.rstrip('.')}. To load a "
                'backbone alone, use its init_cfg: '
                '--cfg-options model.backbone.init_cfg.checkpoint=FILE'
            )
        replace_(fitted, prefix, fit_backbone(part, backbone, alone=False))
    if heads:
        _check_heads(
            *(
                {
                    name: value
                    for name, value in part.items()
                    if not name.startswith(tuple(backbones)) and 'num_batches_tracked' not in name
                }
                for part in (fitted, expected)
            )
        )
    return fitted


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


def _fit_extent(
    weights: Weights, model: Backbone, alone: bool, notes: list[str]
) -> dict[str, torch.Tensor]:
    """Drops weights that the model doesn't build, and adds the stage norms that classifiers lack.

    The weights of a backbone that is loaded `alone` may lack them too. `notes` gets what was
    changed.
    """
    kept = {name: value for name, value in weights.items() if not name.startswith(CLASSIFIER)}
    is_classifier = len(kept) < len(weights)
    if is_classifier:
        notes.append('classifier left out')
    fitted = {name: value for name, value in kept.items() if not _is_of_later_stage(name, model)}
    if len(fitted) < len(kept):
        notes.append(f'stages after stage {max(model.out_indices) + 1} left out')
    stage_norms = {
        name: value for name, value in model.state_dict().items() if name.startswith('norm_list.')
    }
    if stage_norms and 'norm_list.0.weight' not in fitted and (is_classifier or alone):
        fitted |= {
            name: torch.full_like(value, float(name.endswith('weight')))
            for name, value in stage_norms.items()
        }
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
        reason = (
            f'they have {"norms" if norms else "no norms"} after stages; pass '
            f'norm_after_stage={norms} to the backbone'
        )
    else:
        reason = '; '.join(differences)
    raise UserError(f'The weights do not fit the backbone, and none were loaded: {reason}')


def _check_heads(weights: Weights, expected: Weights) -> None:
    """Raises a UserError unless all weights of a model's other parts are there and fit."""
    unfit = list_differences({name: weights[name] for name in weights.keys() & expected}, expected)
    if unfit:
        raise UserError(
            'The checkpoint does not match this config: '
            + '; '.join(unfit)
            + _explain_classes(weights, expected)
        )


def _explain_classes(weights: Weights, expected: Weights) -> str:
    """What to do about a classifier of other classes; '' for anything else."""
    theirs, ours = (len(part.get('head.fc.bias', ())) for part in (weights, expected))
    if not (theirs and ours) or theirs == ours:
        return ''
    return (
        f". Its head is for {theirs} classes, the config's for {ours}: pass --cfg-options "
        f'model.head.num_classes={theirs}; or train, with load_from=FILE, which leaves such a '
        'head out'
    )
