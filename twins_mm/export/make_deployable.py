"""Chooses what of a model is deployed."""

from typing import Any

from torch import nn

from ..errors import UserError
from .deployable import Deployable, DeployableClassifier, DeployablePyramid, DeployableSegmentor
from .detectors import DeployableRetinaNet, DeployableTwoStage

# The first that takes a model deploys it.
KINDS: tuple[Any, ...] = (
    DeployableRetinaNet,
    DeployableTwoStage,
    DeployablePyramid,
    DeployableSegmentor,
    DeployableClassifier,
)


def make_deployable(model: nn.Module) -> Deployable:
    """The part of a model of `load_model` that can be deployed.

    Raises:
        UserError: There is none in a model of this kind.
    """
    for kind in KINDS:
        if kind.takes(model):
            return kind(model, model.cfg.model.get('data_preprocessor', {})).eval()
    raise UserError(
        f'{type(model).__name__} cannot be exported. Supported are segmentors '
        '(EncoderDecoder), RetinaNet, Mask R-CNN, Faster R-CNN, and backbone and FPN '
        'of other two-stage detectors'
    )
