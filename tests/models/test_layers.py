import pytest
import torch
from torch import nn
from torch.nn import functional as F

from twins_mm.models.layers import Block, DropPath, Linear, ResidualDepthwiseConv


class Fill(nn.Module):
    """A branch with constant output, so that surviving samples can be counted."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, x):
        return torch.full_like(x, self.value)


def products(function, *args):
    """The operators that torch multiplied by."""
    with torch.profiler.profile() as profile:
        function(*args)
    return {event.key for event in profile.key_averages()} & {
        'aten::mkldnn_convolution', 'aten::addmm', 'aten::linear', 'aten::_slow_conv2d_forward'}


@pytest.fixture
def two_threads():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(),
                    reason='another platform: its torch has no oneDNN')
@pytest.mark.parametrize('bias', [True, False])
@pytest.mark.parametrize('contiguous', [True, False])
def test_linear_is_onednns_convolution(bias, contiguous, two_threads):
    """Of tokens in any layout: features and gradients are those of float64, laid out alike."""
    layer = Linear(8, 12, bias)
    x = torch.randn(2, 60, 50, 8).requires_grad_()
    if not contiguous:
        x = torch.randn(2, 50, 60, 8).transpose(1, 2).detach().requires_grad_()
    assert products(layer, x) == {'aten::mkldnn_convolution'}
    output = layer(x)
    gradients = torch.autograd.grad(output.square().sum(), [x, *layer.parameters()])
    layer, x = layer.double(), x.detach().double().requires_grad_()
    expected = F.linear(x, layer.weight, layer.bias)
    torch.testing.assert_close(output.double(), expected, rtol=1e-5, atol=1e-5)
    for found, wanted in zip(gradients, torch.autograd.grad(
            expected.square().sum(), [x, *layer.parameters()])):
        assert (found - wanted).norm() <= 1e-5 * wanted.norm()
        assert found.stride() == wanted.stride()


@pytest.mark.parametrize('x', [
    torch.zeros(20480 // 8, 8), torch.zeros(3000, 8, dtype=torch.float64)], ids=['few', 'double'])
def test_linear_is_torchs_where_onednn_is_not(x, two_threads):
    layer = Linear(8, 12).to(x.dtype)
    assert products(layer, x) == {'aten::linear', 'aten::addmm'}


def test_exported_and_traced_linear_is_one(two_threads):
    x = torch.zeros(3000, 8)
    program = torch.export.export(Linear(8, 12), (x,))
    targets = {str(node.target) for node in program.graph.nodes}
    assert targets & {'aten.linear.default', 'aten.addmm.default'}  # the latter by torch 2.1
    assert 'aten::linear' in str(torch.jit.trace(Linear(8, 12), x).inlined_graph)


@pytest.mark.parametrize('branches', [(1, 0), (0, 1)])
def test_each_branch_survives_at_its_rate(branches):
    """Applied twice, as in mmseg and mmpretrain, 0.49 instead of 0.70 would survive p = 0.3."""
    torch.manual_seed(0)
    block = Block(4, *map(Fill, branches), drop_path=0.3, norm_eps=1e-6).train()
    x = torch.zeros(20_000, 1, 1, 4)
    survived = block(x)[:, 0, 0, 0]
    assert (survived > 0).float().mean().item() == pytest.approx(0.7, abs=0.015)
    assert survived[survived > 0].unique().tolist() == pytest.approx([1 / 0.7])


def test_drop_path_drops_whole_samples():
    torch.manual_seed(0)
    dropped = DropPath(0.5).train()(torch.ones(64, 3, 3, 8)).flatten(1)
    assert (dropped == dropped[:, :1]).all()
    assert set(dropped[:, 0].tolist()) == {0., 2.}


@pytest.mark.parametrize(('p', 'training'), [(0.5, False), (0., True)])
def test_drop_path_does_nothing(p, training):
    x = torch.rand(2, 3)
    assert DropPath(p).train(training)(x) is x


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
