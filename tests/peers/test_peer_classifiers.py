"""timm's and mmpretrain's Twins classifiers and ours: the same weights, the same logits."""

from functools import partial

import pytest
import torch
from peers.models import build_classifier, build_peer, shapes

from twins_mm.checkpoints import convert
from twins_mm.checkpoints.unpack import LAYOUTS
from twins_mm.models.published_weights import name_classifier
from twins_mm.models.variants import VARIANTS
from twins_mm.paper.baselines import TWINS

# Neither peer has STViT.
OF_TWINS = [name for name, variant in VARIANTS.items() if variant.family in TWINS.families]
every_peer = pytest.mark.parametrize('peer', ['timm', 'mmpretrain'])
NUMERICS = dict(timm=dict(), mmpretrain=dict(numerics='mmseg', eps=1e-5))


def build_pair(peer, variant, **kwargs):
    """Ours and theirs with the same random weights."""
    torch.manual_seed(0)
    theirs = build_peer(peer, variant).eval()
    for parameter in theirs.parameters():
        parameter.data.add_(torch.randn_like(parameter) * 0.1)
    ours = build_classifier(**VARIANTS[variant].backbone, **NUMERICS[peer], **kwargs)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def difference(ours, theirs, size):
    """The largest difference of logits, relative to the largest logit."""
    images = torch.randn(1, 3, *size, dtype=next(ours.parameters()).dtype)
    with torch.no_grad():
        found, expected = ours(images), theirs(images)
    assert found.shape == expected.shape == (1, 1000)
    return ((found - expected).abs().max() / expected.abs().max()).item()


@every_peer
@pytest.mark.parametrize('variant', OF_TWINS)
def test_names_are_the_same(variant, peer, monkeypatch):
    # mmpretrain reads its rates of drop path from a tensor.
    monkeypatch.setattr(torch, 'linspace', partial(torch.linspace, device='cpu'))
    with torch.device('meta'):
        theirs = build_peer(peer, variant).state_dict()
        ours = build_classifier(**VARIANTS[variant].backbone).state_dict()
        assert shapes(convert(ours, to=peer)) == shapes(theirs)
        assert shapes(name_classifier(theirs, LAYOUTS)) == shapes(ours)


@every_peer
@pytest.mark.parametrize(
    'variant',
    [
        variant if variant.endswith('_s') else pytest.param(variant, marks=pytest.mark.large)
        for variant in OF_TWINS
    ],
)
def test_logits_are_the_same(variant, peer):
    ours, theirs = build_pair(peer, variant)
    assert difference(ours, theirs, (224, 224)) < 1e-5
    # Windows fit these maps too. Double precision, because rounding would hide a wrong epsilon.
    assert difference(ours.double(), theirs.double(), (224, 448)) < 1e-10


@pytest.mark.parametrize(
    ('peer', 'variant', 'kwargs'),
    [
        ('timm', 'pcpvt_s', {}),
        ('timm', 'svt_s', dict(window_padding='zero')),
        ('mmpretrain', 'pcpvt_s', {}),
        ('mmpretrain', 'svt_s', {}),
    ],
)
def test_logits_are_the_same_at_other_sizes(peer, variant, kwargs):
    """A size that every stride divides, and one that some don't; windows are padded in both."""
    ours, theirs = build_pair(peer, variant, **kwargs)
    for size in [(96, 160), (125, 170)]:
        assert difference(ours.double(), theirs.double(), size) < 1e-10, size


@every_peer
@pytest.mark.parametrize('variant', ['pcpvt_s', 'svt_s'])
def test_other_epsilon_is_detected(variant, peer, monkeypatch):
    (other,) = {'timm', 'mmpretrain'} - {peer}
    monkeypatch.setitem(NUMERICS, peer, NUMERICS[other])
    ours, theirs = build_pair(peer, variant)
    assert difference(ours.double(), theirs.double(), (64, 96)) > 1e-8
