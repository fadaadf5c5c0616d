"""Builds models from a config and a checkpoint."""
from copy import deepcopy

import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, init_default_scope
from mmengine.runner import CheckpointLoader, load_state_dict
from torch import nn

from ..config import count_classes, data_sets, drop_pretrained, fit_to_cpu, require_library
from ..errors import UserError
from ..families import FAMILIES
from .files import weights_of
from .layouts import Weights, name_classifier
from .loading import list_differences


def load_model(cfg: Config, checkpoint: str | None, device: str | torch.device = 'cpu'
               ) -> nn.Module:
    """Builds a config's model in evaluation mode, with the weights of a checkpoint.

    As with OpenMMLab's `init_detector`, the model's `cfg` is the config that it was built from, and
    its `dataset_meta` has the names and colours of classes; that is empty for random weights and
    for a backbone alone.

    Args:
        cfg: The config, which is not modified. On a CPU, the model has BN instead of SyncBN.
        checkpoint: A file, a URL, or hf://ORG/NAME; None for random weights.
        device: The model's device.

    Raises:
        UserError: The config has no model, its library is missing, a backbone or a head doesn't
            fit the checkpoint, or nothing names the classes.
    """
    cfg = deepcopy(cfg)
    if not cfg.get('model'):
        raise UserError(f'{cfg.filename} has no model')
    require_library(cfg)
    drop_pretrained(cfg)
    if torch.device(device).type == 'cpu':
        fit_to_cpu(cfg)
    init_default_scope(cfg.get('default_scope') or 'mmengine')
    model = MODELS.build(cfg.model)
    model.cfg, model.dataset_meta = cfg, {}
    if checkpoint is not None:
        loaded = CheckpointLoader.load_checkpoint(checkpoint, 'cpu', 'silent')
        check_heads(loaded, model)
        load_state_dict(model, {name.removeprefix('module.'): value
                                for name, value in weights_of(loaded).items()}, logger='silent')
        if not is_backbone(model):
            model.dataset_meta = find_dataset_meta(loaded, cfg)
    return model.to(device).eval()


def is_backbone(module: nn.Module) -> bool:
    """Whether it is one of our backbones, which check the weights loaded into them."""
    return any(kind.__name__ in FAMILIES for kind in type(module).__mro__)


def check_heads(checkpoint: dict, model: nn.Module) -> None:
    """Refuses a checkpoint that lacks any weight of the model; our backbones check their own.

    Raises:
        UserError: The checkpoint doesn't match the model.
    """
    backbones = tuple(f'{name}.'.removeprefix('module.').removeprefix('.')
                      for name, module in model.named_modules() if is_backbone(module))

    def without_backbones(weights: dict) -> dict:
        return {plain: value for name, value in weights.items()
                if not (plain := name.removeprefix('module.')).startswith(backbones)
                and 'num_batches_tracked' not in plain}

    weights, expected = map(
        without_backbones, (name_classifier(weights_of(checkpoint)), model.state_dict()))
    unfit = list_differences({name: weights[name] for name in weights.keys() & expected},
                             expected)
    if unfit:
        raise UserError('The checkpoint does not match this config: ' + '; '.join(unfit)
                        + _explain_classes(weights, expected))


def _explain_classes(weights: Weights, expected: Weights) -> str:
    """What to do about a classifier of other classes; '' for anything else."""
    theirs, ours = (len(part.get('head.fc.bias', ())) for part in (weights, expected))
    if not (theirs and ours) or theirs == ours:
        return ''
    return (f". Its head is for {theirs} classes, the config's for {ours}: pass --cfg-options "
            f'model.head.num_classes={theirs}; or train, with load_from=FILE, which leaves such a '
            'head out')


def find_dataset_meta(checkpoint: dict, cfg: Config) -> dict:
    """Class names, colours and more from the checkpoint or, failing that, from the config.

    Raises:
        UserError: Neither names as many classes as the model has.
    """
    from mmdet.visualization import get_palette
    meta = checkpoint.get('meta') or {}
    saved = {key.lower(): value for key, value in meta.get('dataset_meta', meta).items()
             if value is not None}
    loader = cfg.get('test_dataloader')
    configured = DATASETS.build(
        dict(next(data_sets(loader)), lazy_init=True)).metainfo if loader else {}
    count = count_classes(cfg)
    named = [source for source in (saved, configured) if source.get('classes')
             and count in (None, len(source['classes']))]
    if not named:
        raise UserError(
            f'The model has {count or "some"} classes, but neither the checkpoint nor the '
            "config's data set names that many: set test_dataloader.dataset.metainfo")
    found = {**configured, **named[0]}
    number = len(found['classes'])
    if len(found.get('palette') or ()) < number:
        found['palette'] = get_palette('random', number)
    return found
