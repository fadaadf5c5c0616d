"""What a Twins backbone does when weights are loaded into it, by whatever function.

It takes every published layout, says in a line what it left out, and refuses what doesn't fit:
mmengine would log the names and train on, from random weights.
"""
import re
from collections.abc import Mapping

import torch
from mmengine.logging import print_log

from ..errors import UserError
from ..models.twins import Twins
from .layouts import RELEASED, unpack
from .variants import identify


def read_state_dict(model: Twins, state_dict: dict, prefix: str) -> None:
    """Gives what stands under `prefix` in `state_dict` the names and the extent of `model`.

    ImageNet's final norm and classifier, other parts of a detector or segmentor, and stages that
    the model doesn't build are left out. Where a backbone starts from weights without stage norms,
    these start as LayerNorms do.

    Raises:
        UserError: The weights don't fit the model; `state_dict` is as it was.
    """
    given = {name.removeprefix(prefix): value for name, value in state_dict.items()
             if name.startswith(prefix)}
    if not given:
        raise UserError(
            f"The checkpoint has nothing for the model's {prefix.rstrip('.')}. The weights of a "
            'backbone alone go in its init_cfg: '
            '--cfg-options model.backbone.init_cfg.checkpoint=FILE')
    layout, inner_prefix, weights, others = unpack(given)
    expected = model.state_dict()

    notes = ['heads left out'] if others else []
    kept = {name: value for name, value in weights.items()
            if not name.startswith(('norm.', 'head.'))}
    classifier = len(kept) < len(weights)
    if classifier:
        notes.append('classifier left out')
    weights = {name: value for name, value in kept.items()
               if not _is_of_later_stage(name, len(model.blocks))}
    if len(weights) < len(kept):
        notes.append(f'stages after stage {len(model.blocks)} left out')
    stage_norms = {name: value for name, value in expected.items()
                   if name.startswith('norm_list.')}
    if stage_norms and 'norm_list.0.weight' not in weights and (classifier or not prefix):
        weights |= {name: torch.full_like(value, float(name.endswith('weight')))
                    for name, value in stage_norms.items()}
        notes.append('stage norms start fresh')
    _check_fit(weights, expected)

    for name in given:
        del state_dict[prefix + name]
    state_dict.update({prefix + name: value for name, value in weights.items()})
    if layout is not RELEASED:
        notes.insert(0, f"{layout.name}'s layout")
        if (prefix or inner_prefix) and not classifier and model.numerics == 'released':
            notes.append(f"if {layout.name} trained them, its numbers need numerics='openmmlab'")
    if notes:
        print_log(f'{identify(weights)} weights: {", ".join(notes)}', logger='current')


def _is_of_later_stage(name: str, num_stages: int) -> bool:
    stage = re.match(r'(patch_embeds|blocks|pos_block|norm_list)\.(\d+)\.', name)
    return stage is not None and int(stage[2]) >= num_stages


def _check_fit(weights: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> None:
    """Raises a UserError with the reason unless names and shapes are the same."""
    differences = list_differences(weights, expected)
    if not differences:
        return
    theirs, ours = identify(weights), identify(expected)
    odd_names = weights.keys() ^ expected.keys()
    if theirs != ours:
        reason = f'these are {theirs} weights; the config builds {ours}'
    elif odd_names and all(name.startswith('norm_list.') for name in odd_names):
        norms = 'norm_list.0.weight' in weights
        reason = (f'they have {"norms" if norms else "no norms"} after stages; pass '
                  f'norm_after_stage={norms} to the backbone')
    else:
        reason = '; '.join(differences)
    raise UserError(f'The weights do not fit the backbone, and none was loaded: {reason}')


def list_differences(weights: Mapping[str, torch.Tensor],
                     expected: Mapping[str, torch.Tensor]) -> list[str]:
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
