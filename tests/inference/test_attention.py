from functools import partial

import pytest
import torch
from tiny_archs import TINY_ARCHS

from twins_mm import STViT, TwinsPCPVT, TwinsSVT
from twins_mm.inference.attention import Attention, _Recorder, trace_attention
from twins_mm.models.attention import (
    SUB_SAMPLINGS,
    WINDOW_PADDINGS,
    GlobalSubsampledAttention,
    LocallyGroupedAttention,
    window_partition,
    window_unpartition,
)
from twins_mm.models.super_tokens import SuperTokenAttention

DIM, SIDE, STRIDE = 8, 4, 8
LAYERS = {
    **{
        padding: partial(LocallyGroupedAttention, DIM, window_size=SIDE, padding=padding)
        for padding in WINDOW_PADDINGS
    },
    **{f'GSA {ratio}': partial(GlobalSubsampledAttention, DIM, sr_ratio=ratio) for ratio in (1, 2)},
    **{
        kind: partial(GlobalSubsampledAttention, DIM, sr_ratio=2, sub_sampling=kind)
        for kind in [*SUB_SAMPLINGS][1:]
    },
}
# Padding on both sides, on one, and on none; 2 divides neither 9 nor 11.
SIZES = (9, 11), (8, 10), (8, 12)


def record(name, size, heads=2):
    """A layer with sharp attention, its input and output, and the recorded attention."""
    torch.manual_seed(0)
    layer, x = LAYERS[name](heads), torch.randn(1, *size, DIM, requires_grad=True)
    for key, parameter in layer.named_parameters():
        if key.startswith(('qkv', 'q.', 'kv')):
            parameter.data.normal_()
    with _Recorder() as recorder:
        output = layer(x)
    return layer, x, output, Attention(layer, size, STRIDE, *recorder.calls[0])


def make_values(layer, x):
    """The values on the map of the keys, `(B, H, W, C)`."""
    if isinstance(layer, LocallyGroupedAttention):
        return layer.qkv(x)[..., 2 * DIM :]
    if layer.sr_ratio > 1:
        x = layer.norm(layer.sr(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
    return layer.kv(x)[..., DIM:]


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('name', LAYERS)
def test_weights_times_values_give_the_layers_output(name, size):
    layer, x, output, attention = record(name, size)
    groups, _, tokens, _ = attention.query.shape
    weights = torch.stack(
        [
            torch.stack([attention.attention_weights(group, token) for token in range(tokens)], 1)
            for group in range(groups)
        ]
    )
    values = (
        layer.qkv(window_partition(x, SIDE))[..., 2 * DIM :]
        if attention.is_local
        else make_values(layer, x).flatten(1, 2)
    )
    values = values.unflatten(-1, (layer.num_heads, -1)).transpose(1, 2)
    mixed = (weights @ values).transpose(1, 2).flatten(2)
    mixed = window_unpartition(mixed, SIDE, *size) if attention.is_local else mixed.view(x.shape)
    torch.testing.assert_close(layer.proj(mixed), output, atol=1e-5, rtol=0)


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('name', LAYERS)
def test_box_covers_the_tokens_that_affect_the_output(name, size):
    """The gradient of the token's output shows which tokens it attends to."""
    _, x, output, attention = record(name, size)
    for row in range(size[0]):
        for column in range(size[1]):
            (gradient,) = torch.autograd.grad(output[0, row, column].sum(), x, retain_graph=True)
            seen = torch.zeros(size, dtype=torch.bool)
            weights, box = attention.attention_at((column + 0.5) * STRIDE, (row + 0.9) * STRIDE)
            left, top, right, bottom = (side // STRIDE for side in box)
            seen[top:bottom, left:right] = True
            # The token makes its own query, even in a remainder that no key covers.
            seen[row, column] = True
            assert torch.equal(gradient[0].abs().sum(-1) > 0, seen)
            assert box[2] - box[0] == weights.shape[1] * STRIDE * (
                1 if attention.is_local else attention.module.sr_ratio
            )


@pytest.mark.parametrize('name', LAYERS)
def test_each_cell_has_the_weight_of_its_value(name):
    """With one head, a token's output is the sum of the values, weighted by the cells."""
    # No padding for 'zero', because the values of padding are not on the map.
    size = (8, 12) if name == 'zero' else (9, 11)
    layer, x, output, attention = record(name, size, heads=1)
    values, cell = make_values(layer, x)[0], STRIDE * getattr(layer, 'sr_ratio', 1)
    for row in range(size[0]):
        for column in range(size[1]):
            weights, box = attention.attention_at((column + 0.5) * STRIDE, (row + 0.9) * STRIDE)
            left, top, right, bottom = (side // cell for side in box)
            mixed = (weights[..., None] * values[top:bottom, left:right]).sum((0, 1))
            torch.testing.assert_close(layer.proj(mixed), output[0, row, column], atol=1e-5, rtol=0)


def test_weights_sum_to_one_without_the_padding():
    sums = {
        name: record(name, (9, 11))[3].attention_at(87, 71).weights.sum().item() for name in LAYERS
    }
    assert sums.pop('zero') < 0.9999
    assert list(sums.values()) == pytest.approx([1] * len(sums), abs=1e-5)


def test_cells_of_super_tokens():
    """With one head, a super token becomes the sum of values, weighted by the cells of the keys."""
    torch.manual_seed(0)
    layer, seen = SuperTokenAttention(DIM, 1, SIDE), []
    refine = layer.stoken_refine
    torch.nn.init.normal_(refine.qkv.weight)
    refine.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0][0], output[0])))
    size = 9, 11
    with torch.no_grad(), _Recorder() as recorder:
        layer(torch.randn(1, *size, DIM))
    ((super_tokens, refined),) = seen
    values = refine.qkv(super_tokens)[..., 2 * DIM :]
    attention = Attention(layer, size, STRIDE, *recorder.calls[0])
    for row in range(size[0]):
        for column in range(size[1]):
            weights, box = attention.attention_at((column + 0.5) * STRIDE, (row + 0.9) * STRIDE)
            assert box == (0, 0, 3 * SIDE * STRIDE, 3 * SIDE * STRIDE)
            mixed = (weights[..., None] * values).sum((0, 1))
            torch.testing.assert_close(
                refine.proj(mixed), refined[row // SIDE, column // SIDE], atol=1e-5, rtol=0
            )


@pytest.mark.parametrize('family', [TwinsPCPVT, TwinsSVT, STViT])
def test_stages_have_their_own_attentions(family):
    backbone = family(TINY_ARCHS[family.__name__]).eval()
    stages = trace_attention(backbone, torch.rand(1, 3, 70, 100))
    assert [stage.stride for stage in stages] == [4, 8, 16, 32]
    for stage, blocks in zip(stages, backbone.stages):
        assert [attention.module for attention in stage.attentions] == [
            block.attn for block in blocks
        ]
        assert stage.level.shape[1:] == stage.attentions[0].size
        assert stage.last(False) is [a for a in stage.attentions if not a.is_local][-1]
        # The remainder of the image that no token covers belongs to the last one.
        assert stage.last(False).attention_at(99, 69).weights.sum().item() == pytest.approx(1)
    assert (stages[0].last(True) is None) == (family is not TwinsSVT)
