from types import SimpleNamespace
from unittest import mock

import pytest
import torch
from torch.nn import functional as F

from twins_mm.models import attention
from twins_mm.models.attention import (
    FEW_KEYS,
    MAX_BATCH,
    WINDOW_PADDINGS,
    GlobalSubsampledAttention,
    LocallyGroupedAttention,
    _attend_by_products,
    attend,
    merge_heads,
    window_partition,
    window_unpartition,
)


@pytest.mark.parametrize('size', [(7, 7), (14, 21), (8, 15), (3, 20)])
def test_unpartition_undoes_partition(size):
    x = torch.rand(2, *size, 5)
    windows = window_partition(x, 7)
    assert windows.shape == (2 * -(-size[0] // 7) * -(-size[1] // 7), 49, 5)
    assert torch.equal(window_unpartition(windows, 7, *size), x)


def test_windows_contain_neighbours_row_by_row():
    x = torch.arange(16.).view(1, 4, 4, 1)
    assert window_partition(x, 2)[..., 0].tolist() == [
        [0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]


@pytest.mark.parametrize('padding', WINDOW_PADDINGS)
@pytest.mark.parametrize('size', [(14, 7), (14, 20), (9, 14), (9, 20)])
def test_mask_for_any_size_changes_nothing(size, padding, monkeypatch):
    layer = LocallyGroupedAttention(8, 2, 7, padding)
    x = torch.rand(2, *size, 8)
    expected = layer(x)
    monkeypatch.setattr(attention, '_is_exporting', lambda: True)
    torch.testing.assert_close(layer(x), expected)
    if padding != 'zero':
        assert layer._real_tokens(x) is not None


@pytest.mark.parametrize('masked', [False, True])
@pytest.mark.parametrize('dtype', [torch.float64, torch.float32, torch.bfloat16])
def test_attention_to_few_keys_equals_torchs(masked, dtype):
    """Features and gradients; dropout, and more keys, are left to torch."""
    tokens = [torch.randn(3, 2, count, 4, dtype=torch.float64, requires_grad=True)
              for count in (5, FEW_KEYS, FEW_KEYS)]
    seen = torch.rand(3, 1, 1, FEW_KEYS) > 0.5 if masked else None
    expected = F.scaled_dot_product_attention(*tokens, seen)
    with mock.patch.object(F, 'scaled_dot_product_attention') as torchs:
        found = attend(*(x.to(dtype) for x in tokens), seen)
        assert not torchs.called
        attend(*tokens, seen, drop=0.5)
        attend(tokens[0], *(F.pad(x, (0, 0, 0, 1)) for x in tokens[1:]))
        assert torchs.call_count == 2
    assert found.dtype == dtype
    assert (found - expected).norm() <= 16 * torch.finfo(dtype).eps * expected.norm()
    for one, other in zip(*(torch.autograd.grad(x.double().square().sum(), tokens)
                            for x in (found, expected))):
        assert (one - other).norm() <= 16 * torch.finfo(dtype).eps * other.norm()


@pytest.mark.parametrize(('images', 'queries', 'pieces'), [
    (3, 9, 1), (2, 9, 2), (1, 9, 3), (1, 4, 9)])
def test_attention_in_pieces_equals_torchs(images, queries, pieces, monkeypatch):
    """Features and gradients; weights are not kept, and merging the heads copies nothing."""
    keys = FEW_KEYS + 1
    monkeypatch.setattr(attention, '_lacks_bfloat16_kernel', lambda: True)
    monkeypatch.setattr(attention, 'PIECE_BYTES', images * 2 * queries * keys * 2)
    tokens = [torch.randn(3, 2, count, 4, dtype=torch.float64, requires_grad=True)
              for count in (9, keys, keys)]
    short = [x.bfloat16() for x in tokens]
    expected, kept = F.scaled_dot_product_attention(*tokens), []
    with (mock.patch.object(F, 'scaled_dot_product_attention') as torchs,
          mock.patch.object(attention, '_attend_by_products', wraps=_attend_by_products) as run,
          torch.autograd.graph.saved_tensors_hooks(
              lambda tensor: (kept.append(tensor.shape), tensor)[1], lambda tensor: tensor)):
        found = attend(*short)
        assert run.call_count == pieces and not torchs.called
        with torch.no_grad():
            assert torch.equal(attend(*short), found)
        attend(*short, torch.ones(3, 1, 1, keys, dtype=torch.bool))
        attend(*(x.float() for x in tokens))
        assert torchs.call_count == 2
    assert not any(shape[-1] == keys for shape in kept)
    assert merge_heads(found).data_ptr() == found.data_ptr()
    assert (found - expected).norm() <= 0.01 * expected.norm()
    for one, other in zip(*(torch.autograd.grad(x.double().square().sum(), tokens)
                            for x in (found, expected))):
        assert (one - other).norm() <= 0.02 * other.norm()


@pytest.mark.parametrize(('bfloat16', 'amx', 'lacks'), [
    (True, False, True), (True, True, False), (False, False, False), (None, None, False)])
def test_kernel_for_bfloat16_is_torchs_with_amx(bfloat16, amx, lacks, monkeypatch):
    """An older torch, which has neither name, keeps its kernel."""
    names = dict(_is_avx512_bf16_supported=bfloat16, _is_amx_tile_supported=amx)
    monkeypatch.setattr(torch, 'cpu', SimpleNamespace(**{
        name: (lambda has=has: has) for name, has in names.items() if has is not None}))
    assert attention._lacks_bfloat16_kernel() == lacks


@pytest.mark.parametrize('padding', ['mask', 'zero'])
def test_batches_stay_within_the_limit_of_cuda_kernels(padding, monkeypatch):
    """A map of 1790 x 1790, from an image of 7160 x 7160 pixels, has 65,536 windows."""
    monkeypatch.setattr('twins_mm.models.attention.FEW_KEYS', 0)
    layer = LocallyGroupedAttention(2, 1, 7, padding).eval()
    batches, attend = [], F.scaled_dot_product_attention
    monkeypatch.setattr(F, 'scaled_dot_product_attention', lambda q, k, v, mask=None, *args: (
        batches.append(max(len(x) for x in (q, k, v, mask) if x is not None)),
        attend(q, k, v, mask, *args))[1])
    x = torch.rand(1, 256 * 7 - 2, 256 * 7 - 2, 2)
    with torch.no_grad():
        whole = layer(x)
        parts = torch.cat([layer(part) for part in x.split(128 * 7, 1)], 1)
    assert batches == [MAX_BATCH, 1, 2**15, 2**15]
    torch.testing.assert_close(whole, parts)


@pytest.mark.parametrize('size', [(8, 12), (9, 15)])
@pytest.mark.parametrize('kind', ['separable_convolution', 'average_pooling'])
def test_sub_samplings_are_special_convolutions(kind, size):
    layer = GlobalSubsampledAttention(6, 2, 4, kind)
    general = GlobalSubsampledAttention(6, 2, 4)
    weights = {name: value for name, value in layer.state_dict().items()
               if not name.startswith('sr.')}
    if kind == 'average_pooling':
        weight, bias = torch.eye(6)[:, :, None, None].expand(6, 6, 4, 4) / 16, torch.zeros(6)
    else:
        parts = layer.sr.depthwise, layer.sr.pointwise
        (depthwise, inner), (pointwise, outer) = ((part.weight, part.bias) for part in parts)
        weight, bias = pointwise * depthwise[:, 0], pointwise[:, :, 0, 0] @ inner + outer
    general.load_state_dict({**weights, 'sr.weight': weight, 'sr.bias': bias})
    x = torch.rand(2, *size, 6)
    torch.testing.assert_close(layer(x), general(x))
