import pytest
import torch
from torch import nn
from torch.nn import functional as F

from twins_mm.models import cpu, layers
from twins_mm.models.layers import Block, DropPath, Mlp
from twins_mm.models.stvit import ConvFfn


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


def textbook(mlp, x):
    return mlp.drop(mlp.fc2(mlp.drop(F.gelu(mlp.fc1(x)))))


def run(mlp, x, function, dtype=torch.float32):
    """The output, the gradients of x and parameters, and how many hidden maps autograd kept."""
    kept = []
    torch.manual_seed(0)
    with (
        torch.autocast('cpu', torch.bfloat16, enabled=dtype == torch.bfloat16),
        torch.autograd.graph.saved_tensors_hooks(
            lambda tensor: kept.append(tensor.numel()) or tensor, lambda tensor: tensor
        ),
    ):
        output = function(x)
    gradients = torch.autograd.grad(output.float().square().sum(), [x, *mlp.parameters()])
    return output, gradients, kept.count(x[..., 0].numel() * 32)


@pytest.mark.parametrize('pieces', [1, 3, 24])
@pytest.mark.parametrize(
    ('dtype', 'rtol', 'atol'), [(torch.float32, 1e-5, 1e-5), (torch.bfloat16, 0.05, 0.05)]
)
def test_pieces_equal_the_whole(dtype, rtol, atol, pieces, monkeypatch):
    """Including gradients summed over 24 tokens, in float32 and under autocast."""
    monkeypatch.setattr(cpu, 'HIDDEN_BYTES', 32 * 4 * 24 // pieces)
    mlp, x = Mlp(4, 32), torch.randn(2, 3, 4, 4, requires_grad=True)
    expected, expected_gradients, _ = run(mlp, x, lambda x: textbook(mlp, x), dtype)
    output, gradients, _ = run(mlp, x, mlp, dtype)
    torch.testing.assert_close(output, expected.to(output), rtol=rtol, atol=atol)
    torch.testing.assert_close(gradients, expected_gradients, rtol=rtol, atol=atol)


@pytest.mark.parametrize('make', [lambda: Mlp(4, 32), lambda: ConvFfn(4, 32)], ids=['MLP', 'FFN'])
def test_inference_has_one_hidden_map(make, monkeypatch):
    """GELU is in place where nothing is kept, and out of place where it is."""
    mlp, x, hidden = make().eval(), torch.randn(1, 3, 3, 4), []
    run_first = mlp.fc1.forward
    monkeypatch.setattr(mlp.fc1, 'forward', lambda x: hidden.append(run_first(x)) or hidden[-1])
    with torch.no_grad():
        expected = mlp(x)
    assert torch.equal(hidden[0], F.gelu(run_first(x)))
    torch.testing.assert_close(mlp(x), expected)
    assert torch.equal(hidden[1], run_first(x))


@pytest.mark.parametrize('make', [lambda: Mlp(4, 32), lambda: ConvFfn(4, 32)], ids=['MLP', 'FFN'])
def test_hooks_see_what_is_written(make, monkeypatch):
    """The first layer's own output, once, whatever is faster on a CPU."""
    monkeypatch.setattr(cpu, 'HIDDEN_BYTES', 8)
    mlp, x, hidden = make().eval(), torch.randn(1, 3, 3, 4), []
    expected = mlp(x)
    mlp.fc1.register_forward_hook(lambda *args: hidden.append(args[2]))
    with torch.no_grad():
        torch.testing.assert_close(mlp(x), expected)
        (output,) = hidden
        assert torch.equal(output, mlp.fc1.forward(x))


@pytest.mark.parametrize('make', [lambda: Mlp(4, 32), lambda: ConvFfn(4, 32)], ids=['MLP', 'FFN'])
@pytest.mark.parametrize(
    ('training', 'frozen', 'recomputed'),
    [(True, False, True), (False, False, False), (True, True, False)],
)
def test_only_training_recomputes(training, frozen, recomputed, make, monkeypatch):
    """Not an evaluation with gradients, nor frozen stages."""
    calls = []
    monkeypatch.setattr(layers, 'checkpoint', lambda run, x, **_: calls.append(run) or run(x))
    mlp = make().train(training).requires_grad_(not frozen)
    mlp(torch.randn(1, 3, 3, 4))
    assert bool(calls) == recomputed
    if not training:
        traced = torch.jit.trace(mlp, torch.randn(1, 3, 3, 4))
        x = torch.randn(1, 5, 2, 4)
        torch.testing.assert_close(traced(x), mlp(x))


@pytest.mark.parametrize('pieces', [1, 3])
def test_gradients_match_finite_differences(pieces, monkeypatch):
    monkeypatch.setattr(cpu, 'HIDDEN_BYTES', 8 * 8 * 6 // pieces)
    mlp = Mlp(2, 8).double()
    x = torch.randn(6, 2, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, *_: mlp(x), (x, *mlp.parameters()))


@pytest.mark.parametrize(
    ('drop', 'recompute', 'maps'), [(0.0, True, 1), (0.5, True, 1), (0.0, False, 2)]
)
def test_number_of_hidden_maps_kept(drop, recompute, maps):
    mlp, x = Mlp(4, 32, drop, recompute).train(), torch.randn(2, 3, 5, 4, requires_grad=True)
    expected, expected_gradients, plain_kept = run(mlp, x, lambda x: textbook(mlp, x))
    output, gradients, kept = run(mlp, x, mlp)
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(gradients, expected_gradients)
    assert kept == maps and (maps < plain_kept) == recompute
