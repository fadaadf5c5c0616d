"""The backbone of a config and a checkpoint, or of a model; and its input."""

from copy import copy

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from ..checkpoints.load_model import load_model
from ..config import test_steps, walk
from ..errors import UserError
from ..models.backbone import FAMILIES, Backbone


def load_backbone(cfg: Config, checkpoint: str, device: str | torch.device = 'cpu') -> nn.Module:
    """Loads a model's backbone for evaluation; it returns all its stages.

    Args:
        cfg: The model's config.
        checkpoint: A file, a URL, or hf://ORG/NAME, of a backbone or of a whole model.
        device: The backbone's device.

    Raises:
        UserError: The config has none of our backbones, or the weights don't fit it.
    """
    found = next((node for node in walk(cfg.model) if node.get('type') in FAMILIES), None)
    if found is None:
        raise _none_of_ours()
    stages = found.get('out_indices')
    stages = stages and tuple(range(max(stages) + 1))
    alone = dict(model=dict(found, out_indices=stages), default_scope=cfg.default_scope)
    return load_model(Config(alone), checkpoint, device)


def show_all_stages(model: nn.Module) -> nn.Module:
    """A model's backbone, with the same weights, that returns all its stages.

    Raises:
        UserError: The model has none of our backbones.
    """
    found = next((module for module in model.modules() if isinstance(module, Backbone)), None)
    if found is None:
        raise _none_of_ours()
    backbone = copy(found)
    backbone.out_indices = tuple(range(len(backbone.stages)))
    return backbone


def prepare_image(cfg: Config, image: np.ndarray) -> tuple[torch.Tensor, np.ndarray]:
    """Resizes and normalises an image as for the model in evaluation.

    Args:
        cfg: The model's config.
        image: `(H, W, 3)`, BGR, uint8.

    Returns:
        The backbone's input, `(1, 3, H', W')`; and the resized image, BGR, uint8, without any
        padding on the right and at the bottom.
    """
    steps = [step for step in test_steps(cfg) if not step['type'].startswith('Pack')]
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        resized = Compose(steps)(dict(img=image))['img']
        preprocess = MODELS.build(cfg.model.data_preprocessor)
    pixels = torch.from_numpy(np.ascontiguousarray(resized.transpose(2, 0, 1)))
    return preprocess(dict(inputs=[pixels]))['inputs'], resized


def _none_of_ours() -> UserError:
    return UserError(f'This config has no {" or ".join(FAMILIES)} backbone')
