"""Weights with mmseg's names and with timm's; tests/peers compares with timm itself."""

import pytest
import torch
from mmengine.registry import MODELS
from mmengine.runner.checkpoint import load_state_dict
from mmseg.models.backbones import ResNetV1c
from torch import nn


@pytest.fixture
def weights():
    """mmseg's, each tensor with another number."""
    return {
        name: torch.full_like(value, number)
        for number, (name, value) in enumerate(ResNetV1c(depth=18).state_dict().items())
    }


@pytest.mark.parametrize('prefix', ['', 'backbone.'])
@pytest.mark.parametrize('load', [nn.Module.load_state_dict, load_state_dict])
@pytest.mark.parametrize(
    'theirs', [{}, {'stem.7.': 'bn1.', 'stem.': 'conv1.'}], ids=['mmseg', 'timm']
)
def test_reads_both_names(theirs, load, prefix, weights):
    model = backbone = MODELS.build(dict(type='DeepStemResNet', depth=18))
    if prefix:
        model = nn.ModuleDict(dict(backbone=backbone))
    given = {}
    for name, value in weights.items():
        for ours, other in theirs.items():
            if name.startswith(ours):
                name = other + name.removeprefix(ours)
        given[prefix + name] = value
    names = list(given)
    load(model, given, strict=True)
    assert all(torch.equal(value, weights[name]) for name, value in backbone.state_dict().items())
    assert list(given) == names
