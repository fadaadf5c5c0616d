"""timm's and mmpretrain's Twins classifiers: same weights under other names, same features."""
import json

import pytest
import torch
from checkpoints.classifiers import with_classifier
from checkpoints.record_peers import FOLDER, PEERS, VARIANTS, build
from torch.nn import functional as F

import twins_mm
from twins_mm.checkpoints import convert

every_peer = pytest.mark.parametrize('peer', PEERS)


def build_ours(variant, **kwargs):
    family, arch = variant.split('_')
    return getattr(twins_mm, f'Twins{family.upper()}')(arch, norm_after_stage=False, **kwargs)


def shapes(weights):
    return {key: list(value.shape) for key, value in weights.items()}


@every_peer
@pytest.mark.parametrize('variant', VARIANTS)
def test_names_match_the_records(variant, peer):
    recorded = json.loads((FOLDER / f'{peer}.json').read_text())['keys'][variant]
    with torch.device('meta'):
        theirs = {key: torch.empty(shape) for key, shape in recorded.items()}
        model = build_ours(variant)
        ours = with_classifier(model.state_dict(), model.out_channels[-1])
    assert shapes(convert(ours, to=peer)) == recorded
    assert shapes(convert(theirs, to='twins_mm')) == shapes(ours)


@every_peer
@pytest.mark.parametrize('variant', [
    variant if variant.endswith('small') else pytest.param(variant, marks=pytest.mark.large)
    for variant in VARIANTS])
def test_features_are_the_same(variant, peer):
    pytest.importorskip(peer)
    torch.manual_seed(0)
    # Double precision, because rounding in single precision would hide a wrong epsilon.
    theirs = build(peer, variant).eval().double()
    for parameter in theirs.parameters():
        parameter.data.add_(torch.randn_like(parameter) * 0.1)
    weights = convert(theirs.state_dict(), to='twins_mm')
    numerics, eps = ('released', 1e-6) if peer == 'timm' else ('mmseg', 1e-5)
    ours = build_ours(variant, numerics=numerics).eval().double()
    ours.load_state_dict(weights)
    images = torch.randn(1, 3, 224, 224).double()
    with torch.no_grad():
        expected = (theirs.forward_features(images) if peer == 'timm'
                    else theirs.backbone(images)[-1].flatten(2).transpose(1, 2))
        tokens = ours(images)[-1].flatten(2).transpose(1, 2)
    found = F.layer_norm(
        tokens, tokens.shape[-1:], weights['norm.weight'], weights['norm.bias'], eps)
    assert (found - expected).abs().max() < 1e-10 * expected.abs().max()
