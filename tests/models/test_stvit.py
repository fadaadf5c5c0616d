"""What holds for all backbones is tested in test_twins.py."""

import pytest
import torch
from mmengine.registry import MODELS
from models.test_twins import CopyCounter, relative_difference
from reference.stvit import textbook_stvit
from tiny_archs import TINY_ARCHS
from torch import nn
from torch.nn import functional as F

from twins_mm import STViT
from twins_mm.models.necks import ProjectedAveragePooling
from twins_mm.models.stvit import ConvFfn, ResidualDepthwiseConv
from twins_mm.models.super_tokens import fold, unfold

TINY = TINY_ARCHS['STViT']
SIZES = ('small', 'base', 'large')


def make_pair(arch, dtype=torch.float32):
    """Ours and the textbook form, with the same random weights."""
    torch.manual_seed(0)
    ours, plain = STViT(arch, drop_path_rate=0.0).to(dtype), textbook_stvit(arch).to(dtype)
    for value in ours.parameters():
        value.data += torch.randn_like(value) * 0.02
    for value in ours.buffers():
        if value.is_floating_point():  # BatchNorm's; variances stay positive
            value += torch.rand_like(value) * 0.1
    missing = plain.load_state_dict(ours.state_dict(), strict=False)
    assert missing.unexpected_keys == []
    assert {name.split('.')[-2] for name in missing.missing_keys} == {'fold', 'unfold'}
    return ours, plain


# Cells fit in no stage, in all, in stage 2 alone, and are larger than the map.
@pytest.mark.parametrize('size', [(131, 250), (64, 96), (48, 80), (9, 40)])
@pytest.mark.parametrize(('dtype', 'limit'), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@pytest.mark.parametrize('training', [False, True])
def test_features_and_gradients_are_those_of_the_released_code(size, dtype, limit, training):
    models = make_pair(TINY, dtype)
    images = torch.randn(2, 3, *size, dtype=dtype)
    pyramids, gradients = [], []
    for model in models:
        pixels = images.clone().requires_grad_()
        pyramids.append(model.train(training)(pixels))
        torch.manual_seed(1)
        sum((level * torch.randn_like(level)).sum() for level in pyramids[-1]).backward()
        parts = dict(model.named_parameters(), images=pixels)
        gradients.append(
            torch.cat([parts[name].grad.flatten() for name in sorted(parts) if 'fold' not in name])
        )
    for level, expected in zip(*pyramids, strict=True):
        assert relative_difference(level, expected) < limit
    assert relative_difference(*gradients) < limit


@pytest.mark.parametrize('size', [(224, 224), pytest.param((200, 333), marks=pytest.mark.large)])
@pytest.mark.parametrize(
    'arch', ['small', *(pytest.param(arch, marks=pytest.mark.large) for arch in SIZES[1:])]
)
def test_variants_equal_the_released_code(arch, size):
    ours, plain = make_pair(arch)
    images = torch.randn(1, 3, *size)
    with torch.no_grad():
        for level, expected in zip(ours.eval()(images), plain.eval()(images), strict=True):
            assert relative_difference(level, expected) < 1e-5


# Source: the issue and the supplement's Table I; the names are those of published files.
@pytest.mark.parametrize(
    ('arch', 'backbone', 'classifier'),
    [('small', 23.943, 25.496), ('base', 50.139, 51.691), ('large', 93.288, 94.971)],
)
def test_names_and_parameters_are_the_released_ones(arch, backbone, classifier):
    with torch.device('meta'):
        ours, plain = STViT(arch), textbook_stvit(arch)
        pooling = ProjectedAveragePooling(ours.out_channels[-1], 1024)
        parts = [ours, pooling, nn.Linear(1024, 1000)]
    assert {name: value.shape for name, value in ours.state_dict().items()} == {
        name: value.shape for name, value in plain.state_dict().items() if 'fold' not in name
    }
    millions = [sum(value.numel() for value in part.parameters()) / 1e6 for part in parts]
    assert (round(millions[0], 3), round(sum(millions), 3)) == (backbone, classifier)
    names = {name.split('.', 4)[-1] for name in ours.state_dict() if '.blocks.' in name}
    modules = {
        'pos_embed.conv',
        'norm1.norm',
        'attn.stoken_refine.qkv',
        'attn.stoken_refine.proj',
        'norm2',
        'mlp2.fc1',
        'mlp2.fc2',
        'mlp2.conv.conv',
    }
    assert {name.rpartition('.')[0] for name in names} - {''} == modules
    assert {name for name in names if '.' not in name} == (
        set() if arch == 'small' else {'gamma_1', 'gamma_2'}
    )


@pytest.mark.parametrize('patterns', ['TTTT', 'STST'])
def test_blocks_without_convolutions_are_those_with_kernels_of_zero(patterns):
    torch.manual_seed(0)
    ours = STViT(dict(TINY, patterns=tuple(patterns))).eval()
    whole = STViT(TINY).eval()
    whole.load_state_dict(ours.state_dict(), strict=False)
    whole.patch_embed = ours.patch_embed
    for stage, kind in zip(whole.stages, patterns):
        for module in stage.modules():
            if kind == 'T' and isinstance(module, ResidualDepthwiseConv):
                nn.init.zeros_(module.conv.weight)
                nn.init.zeros_(module.conv.bias)
    images = torch.randn(1, 3, 66, 97)
    for level, expected in zip(ours(images), whole(images), strict=True):
        torch.testing.assert_close(level, expected)


@pytest.mark.parametrize('size', [(1, 1), (1, 4), (3, 5)])
def test_neighbours_are_those_of_torchs_unfold_and_fold(size):
    cells = torch.randn(2, *size, 4, dtype=torch.double)
    expected = F.unfold(cells.permute(0, 3, 1, 2), 3, padding=1).view(2, 4, 9, *size)
    torch.testing.assert_close(unfold(cells), expected.permute(0, 3, 4, 2, 1))
    shares = torch.randn(2, *size, 9, 4, dtype=torch.double)
    columns = shares.permute(0, 4, 3, 1, 2).reshape(2, 36, -1)
    torch.testing.assert_close(
        fold(shares), F.fold(columns, size, 3, padding=1).permute(0, 2, 3, 1)
    )


def test_copies_are_those_of_cells():
    """One copy of the images and of each level; one to and from cells where there are any."""
    model = STViT(TINY).eval()
    with torch.no_grad(), CopyCounter() as counter:
        levels = model(torch.randn(1, 3, 64, 96))
    blocks_with_cells = sum(TINY['depths'][:2])
    assert counter.copies <= 1 + len(levels) + 4 * blocks_with_cells


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(arch='tiny'), "arch='tiny' is unknown; pass one of small, base, large"),
        (dict(arch={**TINY, 'window_sizes': (7,) * 4}), r"unknown: \['window_sizes'\]"),
        (dict(arch={**TINY, 'grid_sizes': (8, 4, 0, 1)}), 'at least 1'),
        (dict(arch={**TINY, 'num_heads': (3, 2, 3, 4)}), '8 channels'),
        *(
            (dict(arch={**TINY, 'patterns': ('S', 'S', wrong, 'S')}), 'other than S and T')
            for wrong in ('L', '', 5)
        ),
        (dict(out_indices=(2, 1)), 'pass ascending'),
        (dict(drop_path_rate=1.0), 'below 1'),
        (dict(frozen_stages=4), 'pass -1 to train all'),
    ],
)
def test_bad_arguments_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build(dict(dict(type='STViT', arch=TINY), **kwargs))


@pytest.mark.parametrize('size', [(1, 1), (3, 70)])
@pytest.mark.parametrize('pattern', 'ST')
def test_any_size_has_a_pyramid(pattern, size):
    levels = STViT(dict(TINY, patterns=(pattern,) * 4)).eval()(torch.randn(1, 3, *size))
    assert [level.shape[2:] for level in levels] == [
        tuple(-(-side // (4 * 2**stage)) for side in size) for stage in range(4)
    ]


def test_hidden_map_is_kept_once():
    """The textbook's `fc1`, GELU, convolution and `fc2` keep it three times."""
    ffn, kept = ConvFfn(4, 32), []
    x = torch.randn(1, 5, 6, 4, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: kept.append(tensor.numel()) or tensor, lambda tensor: tensor
    ):
        output = ffn(x)
        expected = ffn.finish(ffn.fc1(x))
    assert kept.count(5 * 6 * 32) == 1 + 3
    gradients = [
        torch.autograd.grad(y.square().sum(), [x, *ffn.parameters()]) for y in (output, expected)
    ]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('autocast', [False, True])
def test_residual_of_a_convolution(dtype, autocast):
    """In half precision, the convolution is rounded and the input is not."""
    layer, x = ResidualDepthwiseConv(4).to(dtype), 8 * torch.randn(1, 5, 6, 4, dtype=dtype)
    with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
        expected = x + layer.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        output = layer(x)
        if dtype == torch.float32 and not autocast:
            torch.testing.assert_close(output, expected)
        else:
            assert torch.equal(output, expected)
    calls = []
    layer.conv.register_forward_hook(lambda *_: calls.append(1))
    torch.testing.assert_close(layer(x).float(), expected.float(), atol=0.05, rtol=0.02)
    assert calls
