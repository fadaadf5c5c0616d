import pytest
import torch
from torch import nn

from twins_mm.models.layers import Block, DropPath, ResidualDepthwiseConv


class Fill(nn.Module):
    """A branch with constant output, so that surviving samples can be counted."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, x):
        return torch.full_like(x, self.value)


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
    assert set(dropped[:, 0].tolist()) == {0.0, 2.0}


@pytest.mark.parametrize(('p', 'training'), [(0.5, False), (0.0, True)])
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
