"""Builds models from a config and a checkpoint."""

from copy import deepcopy
from uuid import uuid4

import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, DefaultScope
from mmengine.runner import load_state_dict
from torch import nn

from ..config import adapt_to_cpu, count_classes, data_sets, drop_pretrained
from ..errors import UserError
from ..models.backbone import Backbone
from ..tasks import require_library
from ..tasks.base import palette_of
from .fit import fit_model
from .read import dataset_meta_of, read_checkpoint, weights_of


def load_model(
    cfg: Config, checkpoint: str | None, device: str | torch.device = 'cpu'
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
        adapt_to_cpu(cfg)
    # As `init_default_scope`, which warns where models of two libraries are in one process.
    scope = cfg.get('default_scope') or 'mmengine'
    DefaultScope.get_instance(f'{scope}-{uuid4()}', scope_name=scope)
    model = MODELS.build(cfg.model)
    model.cfg, model.dataset_meta = cfg, {}
    if checkpoint is not None:
        loaded = read_checkpoint(checkpoint)
        load_state_dict(model, fit_model(weights_of(loaded), model, heads=True), logger='silent')
        if not isinstance(model, Backbone):
            model.dataset_meta = find_dataset_meta(loaded, cfg)
    return model.to(device).eval()


def find_dataset_meta(checkpoint: dict, cfg: Config) -> dict:
    """Class names, colours and more from the checkpoint or, failing that, from the config.

    Raises:
        UserError: Neither names as many classes as the model has.
    """
    saved = dataset_meta_of(checkpoint)
    loader = cfg.get('test_dataloader')
    configured = (
        DATASETS.build(dict(next(data_sets(loader)), lazy_init=True)).metainfo if loader else {}
    )
    count = count_classes(cfg)
    named = [
        source
        for source in (saved, configured)
        if source.get('classes') and count in (None, len(source['classes']))
    ]
    if not named:
        raise UserError(
            f'The model has {count or "some"} classes, but neither the checkpoint nor the '
            "config's data set names that many: set test_dataloader.dataset.metainfo"
        )
    found = {**configured, **named[0]}
    return dict(found, palette=palette_of(found))
