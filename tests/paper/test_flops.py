"""Counts agree with textbook formulas, on every device."""

import pytest
import torch
from mmengine.registry import MODELS
from reference.twins import textbook_twins
from tiny_archs import TINY_ARCHS
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import twins_mm  # noqa: F401
from twins_mm.models.attention import LocallyGroupedAttention
from twins_mm.paper.flops import Macs, count_macs


@pytest.fixture(params=['cpu', 'meta', 'cuda'])
def device(request):
    if request.param == 'cuda' and not torch.cuda.is_available():
        pytest.skip('needs a GPU')
    with torch.device(request.param):
        yield request.param


@pytest.mark.parametrize(
    ('layer', 'shape', 'macs'),
    [
        (lambda: nn.Linear(3, 5), (2, 7, 3), 2 * 7 * 3 * 5),
        (lambda: nn.Linear(3, 5, bias=False), (2, 7, 3), 2 * 7 * 3 * 5),
        (lambda: nn.Conv2d(4, 6, 3, 2, 1), (2, 4, 9, 8), 2 * 5 * 4 * 3 * 3 * 4 * 6),
        (lambda: nn.Conv2d(4, 4, 3, padding=1, groups=4), (1, 4, 5, 6), 5 * 6 * 3 * 3 * 4),
        (lambda: nn.ConvTranspose2d(4, 6, 2, 2), (1, 4, 5, 7), 5 * 7 * 2 * 2 * 4 * 6),
        (lambda: nn.Sequential(nn.LayerNorm(3), nn.GELU()), (2, 3), 0),
    ],
)
def test_layers(layer, shape, macs, device):
    assert count_macs(layer(), torch.zeros(shape)) == Macs(macs, 0)


@pytest.mark.parametrize('masked', [False, True])
def test_attention(masked, device):
    mask = torch.ones(2, 1, 1, 11, dtype=torch.bool) if masked else None
    macs = count_macs(
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, mask),
        torch.zeros(2, 3, 7, 8),
        torch.zeros(2, 3, 11, 8),
        torch.zeros(2, 3, 11, 8),
    )
    assert macs == Macs(0, 2 * 2 * 3 * 7 * 11 * 8)


def test_padding_of_windows_counts(device):
    """A 25 x 18 map makes 4 x 3 windows; the layer after them works on the map again."""
    macs = count_macs(LocallyGroupedAttention(16, 2, 7), torch.zeros(1, 25, 18, 16))
    tokens = 4 * 3 * 49
    assert macs == Macs(tokens * 16 * 48 + 25 * 18 * 16 * 16, 2 * tokens * 49 * 16)


@pytest.mark.parametrize('frozen', [False, True])
@pytest.mark.parametrize(
    ('name', 'arch'), [(name, TINY_ARCHS[name]) for name in ('TwinsPCPVT', 'TwinsSVT')]
)
def test_backbones_cost_as_much_as_the_textbook_form(name, arch, frozen, device):
    """The textbook form's attention is matrix products, which torch's own counter knows."""
    images = torch.zeros(1, 3, 70, 100)
    backbone = MODELS.build(dict(type=name, arch=arch)).requires_grad_(not frozen)
    macs = count_macs(backbone, images)
    with FlopCounterMode(display=False) as reference:
        textbook_twins(name, arch)(images)
    attention = reference.flop_counts['Global'][torch.ops.aten.bmm]
    assert macs == Macs((reference.get_total_flops() - attention) // 2, attention // 2)


def test_products_of_other_libraries_are_attentions():
    """mmdet's Swin multiplies matrices itself; its other layers are linear and a convolution."""
    with torch.device('cpu'):
        model = MODELS.build(
            dict(
                type='mmdet.SwinTransformer',
                depths=(2,),
                num_heads=(3,),
                out_indices=(0,),
                strides=(4,),
            )
        )
    macs = count_macs(model, torch.zeros(1, 3, 28, 56))
    tokens, dim = 7 * 14, 96
    assert macs == Macs(tokens * (48 * dim + 2 * 12 * dim**2), 2 * 2 * tokens * 49 * dim)
