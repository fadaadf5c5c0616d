import pytest
import torch
from tiny_archs import TINY_ARCHS
from torch import nn

from twins_mm import TwinsPCPVT
from twins_mm.checkpoints import convert
from twins_mm.checkpoints.fit import fit_model
from twins_mm.errors import UserError


class Detector(nn.Module):
    """A model with a backbone and a head."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone
        self.bbox_head = nn.Linear(2, 2)


def twins():
    return Detector(TwinsPCPVT(TINY_ARCHS['TwinsPCPVT']))


def other():
    return Detector(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)))


def without(weights, name):
    return {key: value for key, value in weights.items() if key != name}


@pytest.mark.parametrize('make', [twins, other])
@pytest.mark.parametrize('wrap', [nn.Identity, nn.DataParallel])
def test_own_weights_pass(make, wrap):
    model = make() if wrap is nn.Identity else wrap(make())
    weights = make().state_dict()
    for given in (
        weights,
        {f'module.{name}': value for name, value in weights.items()},
        without(weights, 'backbone.1.num_batches_tracked'),
    ):
        fit_model(given, model, heads=True)


@pytest.mark.parametrize('layout', ['mmseg', 'mmpretrain'])
def test_twins_backbone_of_another_layout_passes(layout):
    fit_model(convert(twins().state_dict(), layout), twins(), heads=True)


@pytest.mark.parametrize(
    ('make', 'change', 'message'),
    [
        (
            twins,
            lambda weights: without(weights, 'bbox_head.bias'),
            '1 missing, such as bbox_head.bias',
        ),
        (
            other,
            lambda weights: without(weights, 'backbone.0.bias'),
            '1 missing, such as backbone.0.bias',
        ),
        (
            other,
            lambda weights: weights | {'backbone.0.weight': torch.rand(8, 4, 3, 3)},
            r'1 of .* shape, such as backbone.0.weight, \(8, 4, 3, 3\) instead of \(8, 3, 3, 3\)',
        ),
    ],
)
def test_mismatch_is_refused(make, change, message):
    model = make()
    with pytest.raises(UserError, match=f'does not match this config: {message}'):
        fit_model(change(model.state_dict()), model, heads=True)
