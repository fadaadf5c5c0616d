from pathlib import Path

import pytest
import torch
from mmengine.registry import MODELS
from tiny_archs import TINY_ARCHS, tiny_arch

from twins_mm import STViT, TwinsSVT
from twins_mm.checkpoints.identify import identify
from twins_mm.checkpoints.inspect import describe_checkpoint
from twins_mm.models.attention import SUB_SAMPLINGS
from twins_mm.models.variants import BACKBONES

CONFIGS = Path(__file__).parents[2] / 'configs'


def test_backbone_of_neither_family():
    """No position encodings, like a PVT, and windows in every block, like a Swin."""
    weights = TwinsSVT(TINY_ARCHS['TwinsSVT']).state_dict()
    others = [
        {name: value for name, value in weights.items() if 'pos_block' not in name},
        {name.replace('.attn.q.', '.attn.qkv.'): value for name, value in weights.items()},
    ]
    for weights in others:
        topics = describe_checkpoint(weights, CONFIGS)
        assert topics['backbone'] == (
            'unknown Twins with 2, 2, 3, 2 blocks and 8, 16, 24, 32 channels'
        )
        assert topics['config'] == 'none'


# Of sub-samplings with the same mark, weights tell the first.
MARKED = {kind.mark: name for name, kind in reversed(SUB_SAMPLINGS.items())}.values()


@pytest.mark.parametrize(
    'name', [name for name, variant in BACKBONES.items() if variant.sub_sampling in MARKED]
)
def test_backbones_of_the_paper(name):
    with torch.device('meta'):
        weights = MODELS.build(BACKBONES[name].backbone).state_dict()
    topics = describe_checkpoint(weights, CONFIGS)
    assert topics['backbone'] == str(BACKBONES[name])
    assert f'{CONFIGS}/_base_/backbones/{name}.py' in topics['config']


@pytest.mark.parametrize(
    ('patterns', 'sub_sampling', 'name'),
    [
        (
            ('L', 'LG', 'LLG', 'G'),
            'convolution',
            'Twins with LL, LG, LLG, GG blocks and 8, 16, 24, 32 channels',
        ),
        (('L', 'L', 'L'), 'convolution', 'Twins with LL, LL, LLL blocks and 8, 16, 24 channels'),
        (
            ('G', 'G', 'G', 'G'),
            'separable_convolution',
            'Twins-PCPVT with 2, 2, 3, 2 blocks and 8, 16, 24, 32 channels, sub-sampled by '
            'separable_convolution',
        ),
    ],
)
def test_backbone_of_another_pattern(patterns, sub_sampling, name):
    weights = TwinsSVT(tiny_arch(patterns), sub_sampling=sub_sampling).state_dict()
    topics = describe_checkpoint(weights, CONFIGS)
    assert topics['backbone'] == name
    assert topics['config'] == 'none'


def test_stvit_without_convolutions():
    with torch.device('meta'):
        topics = describe_checkpoint(STViT('small_isotropic').state_dict(), CONFIGS)
    assert topics['backbone'] == 'STViT-S_isotropic'


def test_incomplete_backbone():
    weights = TwinsSVT(TINY_ARCHS['TwinsSVT']).state_dict()
    del weights['blocks.0.0.norm2.weight']
    found = identify(weights)
    assert (found.blocks, found.variant, str(found)) == ((), None, 'unknown Twins')
