from types import SimpleNamespace
from unittest import mock

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from twins_mm.models import cpu
from twins_mm.models.attention import attend, merge_heads
from twins_mm.models.cpu import FEW_KEYS, lacks_bfloat16_attention, linear


def products(function, *args):
    """The operators that torch multiplied by."""
    with torch.profiler.profile() as profile:
        function(*args)
    return {event.key for event in profile.key_averages()} & {
        'aten::mkldnn_convolution',
        'aten::addmm',
        'aten::linear',
        'aten::_slow_conv2d_forward',
    }


@pytest.fixture
def two_threads():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


@pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason='another platform: its torch has no oneDNN'
)
@pytest.mark.parametrize('bias', [True, False])
@pytest.mark.parametrize('contiguous', [True, False])
def test_linear_is_onednns_convolution(bias, contiguous, two_threads):
    """Of tokens in any layout: features and gradients are those of float64, laid out alike."""
    layer = nn.Linear(8, 12, bias)
    x = torch.randn(2, 60, 50, 8).requires_grad_()
    if not contiguous:
        x = torch.randn(2, 50, 60, 8).transpose(1, 2).detach().requires_grad_()
    assert products(linear, layer, x) == {'aten::mkldnn_convolution'}
    output = linear(layer, x)
    gradients = torch.autograd.grad(output.square().sum(), [x, *layer.parameters()])
    layer, x = layer.double(), x.detach().double().requires_grad_()
    expected = F.linear(x, layer.weight, layer.bias)
    torch.testing.assert_close(output.double(), expected, rtol=1e-5, atol=1e-5)
    for found, wanted in zip(
        gradients, torch.autograd.grad(expected.square().sum(), [x, *layer.parameters()])
    ):
        assert (found - wanted).norm() <= 1e-5 * wanted.norm()
        assert found.stride() == wanted.stride()


@pytest.mark.parametrize(
    'x',
    [torch.zeros(20480 // 8, 8), torch.zeros(3000, 8, dtype=torch.float64)],
    ids=['few', 'double'],
)
def test_linear_is_torchs_where_onednn_is_not(x, two_threads):
    layer = nn.Linear(8, 12).to(x.dtype)
    assert products(linear, layer, x) == {'aten::linear', 'aten::addmm'}


class Projection(nn.Module):
    """A network with a layer that is called by `linear`."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 12)

    def forward(self, x):
        return linear(self.layer, x)


def test_exported_and_traced_linear_is_one(two_threads):
    x = torch.zeros(3000, 8)
    program = torch.export.export(Projection(), (x,))
    targets = {str(node.target) for node in program.graph.nodes}
    assert targets & {'aten.linear.default', 'aten.addmm.default'}  # the latter by torch 2.1
    assert 'aten::linear' in str(torch.jit.trace(Projection(), x).inlined_graph)


def watch(layer, calls):
    layer.register_forward_hook(lambda *_: calls.append('forward'))


def watch_before(layer, calls):
    layer.register_forward_pre_hook(lambda *_: calls.append('before'))


def watch_gradients(layer, calls):
    layer.register_full_backward_hook(lambda *_: calls.append('backward'))


def replace(layer, calls):
    layer.forward = lambda x: calls.append('own') or F.linear(x, layer.weight, layer.bias)


@pytest.mark.parametrize('change', [watch, watch_before, watch_gradients, replace])
def test_layer_that_somebody_changed_is_called(change, two_threads):
    layer, calls = nn.Linear(8, 12), []
    change(layer, calls)
    linear(layer, torch.zeros(3000, 8, requires_grad=True)).sum().backward()
    assert len(calls) == 1


@pytest.mark.parametrize('masked', [False, True])
@pytest.mark.parametrize('keys', [FEW_KEYS, FEW_KEYS + 1])
@pytest.mark.parametrize(
    ('images', 'queries', 'pieces'), [(3, 9, 1), (2, 9, 2), (1, 9, 3), (1, 4, 9)]
)
def test_attention_in_pieces_equals_torchs(images, queries, pieces, keys, masked, monkeypatch):
    """Features and gradients; many weights aren't kept, and merging heads copies nothing."""
    torch.manual_seed(0)  # of one draw in 500, gradients are beyond the limit
    monkeypatch.setattr(torch, 'cpu', SimpleNamespace(_is_avx512_bf16_supported=lambda: True))
    monkeypatch.setattr(cpu, 'WEIGHT_BYTES', images * 2 * queries * keys * 2)
    tokens = [
        torch.randn(3, 2, count, 4, dtype=torch.float64, requires_grad=True)
        for count in (9, keys, keys)
    ]
    short = [x.bfloat16() for x in tokens]
    mask = torch.rand(3, 1, 1, keys) > 0.5 if masked else None
    expected, kept = F.scaled_dot_product_attention(*tokens, mask), []
    with (
        mock.patch.object(F, 'scaled_dot_product_attention') as torchs,
        mock.patch.object(cpu, '_attend', wraps=cpu._attend) as run,
        torch.autograd.graph.saved_tensors_hooks(
            lambda tensor: (kept.append(tensor.shape), tensor)[1], lambda tensor: tensor
        ),
    ):
        found = attend(*short, mask=mask)
        assert run.call_count == pieces and not torchs.called
        with torch.no_grad():
            assert torch.equal(attend(*short, mask=mask), found)
        attend(*short, mask=mask, drop=0.5)
        attend(*(x.float() for x in tokens), mask=mask)
        assert torchs.call_count == 2
    of_weights = [shape for shape in kept if shape[-1] == keys and shape[1] == 2]
    assert bool(of_weights) == (keys <= FEW_KEYS)
    assert merge_heads(found).data_ptr() == found.data_ptr()
    assert (found - expected).norm() <= 0.01 * expected.norm()
    for one, other in zip(
        *(torch.autograd.grad(x.double().square().sum(), tokens) for x in (found, expected))
    ):
        assert (one - other).norm() <= 0.02 * other.norm()


@pytest.mark.parametrize(
    ('bfloat16', 'amx', 'lacks'),
    [(True, False, True), (True, True, False), (False, False, False), (None, None, False)],
)
def test_kernel_for_bfloat16_is_torchs_with_amx(bfloat16, amx, lacks, monkeypatch):
    """An older torch, which has neither name, keeps its kernel."""
    names = dict(_is_avx512_bf16_supported=bfloat16, _is_amx_tile_supported=amx)
    monkeypatch.setattr(
        torch,
        'cpu',
        SimpleNamespace(
            **{name: (lambda has=has: has) for name, has in names.items() if has is not None}
        ),
    )
    assert lacks_bfloat16_attention(torch.zeros(1, dtype=torch.bfloat16)) == lacks
    assert not lacks_bfloat16_attention(torch.zeros(1))
