"""The MLP of a block, whose hidden activations are the largest tensors in Twins."""

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from .cpu import gelu, linear, run_in_pieces


def finish_recomputed(mlp: nn.Module, hidden: torch.Tensor, drop: float = 0.0) -> torch.Tensor:
    """`mlp.finish(hidden)`; in training recomputed in the backward pass, if `mlp.recompute`."""
    if mlp.recompute and mlp.training and hidden.requires_grad:
        return checkpoint(mlp.finish, hidden, use_reentrant=False, preserve_rng_state=drop > 0)
    return mlp.finish(hidden)


class Mlp(nn.Module):
    """Linear, GELU, Linear over the last dimension.

    The hidden activations are 4 or 8 times as large as the input.

    Args:
        recompute: Saves memory in training: the hidden activations are kept once, before GELU.
            False keeps them twice, before and after it, like plain autograd.
    """

    def __init__(self, dim: int, hidden_dim: int, drop: float = 0.0, recompute: bool = True):
        super().__init__()
        self.recompute = recompute
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, dim)
        self.drop = nn.Dropout(drop)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return run_in_pieces(self, self._run, x, self.fc1.out_features)

    def _run(self, x: torch.Tensor) -> torch.Tensor:
        return finish_recomputed(self, linear(self.fc1, x), self.drop.p)

    def finish(self, hidden: torch.Tensor) -> torch.Tensor:
        """What follows the first layer."""
        return self.drop(linear(self.fc2, self.drop(gelu(hidden, self))))
