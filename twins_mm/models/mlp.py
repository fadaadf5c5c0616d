"""The MLP of a block, whose hidden activations are the largest tensors in Twins."""
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from .layers import Linear, is_eager_on_cpu


def gelu(x: torch.Tensor) -> torch.Tensor:
    """GELU, in place where nothing is kept: a CPU pays for another large map with page faults."""
    return F.gelu(x) if torch.is_grad_enabled() else torch.ops.aten.gelu_(x)


class Mlp(nn.Module):
    """Linear, GELU, Linear over the last dimension.

    The hidden activations are 4 or 8 times as large as the input. If they don't fit a CPU's cache,
    they are computed piece by piece.

    Args:
        recompute: Saves memory in training: the hidden activations are kept once, before GELU.
            False keeps them twice, before and after it, like plain autograd.
    """

    # Measured: with 4 MiB or with 32, training takes a tenth longer; inference is less sensitive.
    PIECE_BYTES = 16 * 2**20

    def __init__(self, dim: int, hidden_dim: int, drop: float = 0., recompute: bool = True):
        super().__init__()
        self.recompute = recompute
        self.fc1 = Linear(dim, hidden_dim)
        self.fc2 = Linear(hidden_dim, dim)
        self.drop = nn.Dropout(drop)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if is_eager_on_cpu(x):
            piece = max(1, self.PIECE_BYTES // (self.fc1.out_features * x.element_size()))
            parts = x.flatten(0, -2).split(piece)
            if len(parts) > 1:
                return torch.cat([self._run(part) for part in parts]).view(x.shape)
        return self._run(x)

    def _run(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.fc1(x)
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(self._finish, hidden, use_reentrant=False,
                              preserve_rng_state=self.training and self.drop.p > 0)
        return self._finish(hidden)

    def _finish(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.drop(self.fc2(self.drop(gelu(hidden))))
