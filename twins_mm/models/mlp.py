"""The MLP of a block, whose hidden activations are the largest tensors in Twins."""
import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

# torch 2.1 only has it under a private name.
is_compiling = getattr(torch.compiler, 'is_compiling', None) or torch._utils.is_compiling


class Mlp(nn.Module):
    """Linear, GELU, Linear over the last dimension.

    The hidden activations are 4 or 8 times as large as the input. On a CPU, inference computes
    them piece by piece, in the cache.

    Args:
        recompute: Saves memory in training: the hidden activations are kept once, before GELU, or
            not at all for narrow maps on a CPU, which run in pieces forward and backward. False
            keeps them twice, before and after GELU, like plain autograd.
    """

    # Fits the cache next to the weights. Measured: 1 to 8 MiB differ by a tenth at most.
    PIECE_BYTES = 4 * 2**20
    # Time in pieces over time with kept activations, forward and backward: 0.64 with 64 channels,
    # 0.75 with 128, 1.18 with 256.
    NARROW = 128

    def __init__(self, dim: int, hidden_dim: int, drop: float = 0., recompute: bool = True):
        super().__init__()
        self.recompute = recompute
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, dim)
        self.drop = nn.Dropout(drop)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        drops, trains = self.training and self.drop.p > 0, torch.is_grad_enabled()
        is_wide = self.fc1.in_features > self.NARROW
        keeps = drops or trains and (is_wide or not self.recompute)
        if x.device.type == 'cpu' and not (
                keeps or is_compiling() or torch.jit.is_tracing()):
            piece = max(1, self.PIECE_BYTES // (self.fc1.out_features * x.element_size()))
            return _PiecewiseMlp.apply(x.flatten(0, -2), self.fc1.weight, self.fc1.bias,
                                       self.fc2.weight, self.fc2.bias, piece).view(x.shape)
        hidden = self.fc1(x)
        if trains and self.recompute:
            return checkpoint(self._finish, hidden, use_reentrant=False, preserve_rng_state=drops)
        return self._finish(hidden)

    def _finish(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.drop(self.fc2(self.drop(F.gelu(hidden))))


class _PiecewiseMlp(torch.autograd.Function):
    """`fc2(gelu(fc1(tokens)))` of `(T, C)`, `piece` tokens at a time, forward and backward."""

    @staticmethod
    def forward(ctx, tokens: torch.Tensor, weight1: torch.Tensor, bias1: torch.Tensor,
                weight2: torch.Tensor, bias2: torch.Tensor, piece: int) -> torch.Tensor:
        ctx.save_for_backward(tokens, weight1, bias1, weight2)
        ctx.piece = piece
        return torch.cat([F.linear(F.gelu(F.linear(part, weight1, bias1)), weight2, bias2)
                          for part in tokens.split(piece)])

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_output: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        tokens, *parameters = ctx.saved_tensors
        grad_tokens = torch.empty_like(tokens)
        grad_weight1, grad_bias1, grad_weight2 = map(torch.zeros_like, parameters)
        # The precision of the forward pass: autocast's, if that was enabled.
        dtype = grad_output.dtype
        weight1, bias1, weight2 = (parameter.to(dtype) for parameter in parameters)
        for part, grad_part, grad in zip(*(
                tensor.split(ctx.piece) for tensor in (tokens, grad_tokens, grad_output))):
            part = part.to(dtype)
            hidden = F.linear(part, weight1, bias1)
            grad_weight2 += grad.T @ F.gelu(hidden)
            grad_hidden = torch.ops.aten.gelu_backward(grad @ weight2, hidden)
            grad_weight1 += grad_hidden.T @ part
            grad_bias1 += grad_hidden.sum(0)
            grad_part.copy_(grad_hidden @ weight1)
        return (grad_tokens, grad_weight1, grad_bias1, grad_weight2,
                grad_output.sum(0), None)
