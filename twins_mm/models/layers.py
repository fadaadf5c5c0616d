"""The parts of a stage besides attention.

Maps are `(B, H, W, C)`: LayerNorm and Linear take them directly, and the channels-last
convolutions take `permute(0, 3, 1, 2)`, which is a view.
"""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from .cpu import gelu, linear, run_in_pieces


class PatchEmbed(nn.Module):
    """Turns square patches into tokens: a convolution with kernel = stride, then LayerNorm.

    `(B, H, W, in_channels)` becomes `(B, H // patch_size, W // patch_size, dim)`.

    Args:
        pad: Zeros complete the patches at the right and at the bottom. False drops what is left
            there, as in the released code.
    """

    def __init__(self, in_channels: int, dim: int, patch_size: int, pad: bool):
        super().__init__()
        self.proj = nn.Conv2d(in_channels, dim, patch_size, patch_size)
        self.norm = nn.LayerNorm(dim)
        self.pad = pad

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.pad:
            patch_height, patch_width = self.proj.stride
            x = F.pad(x, (0, 0, 0, -x.shape[2] % patch_width, 0, -x.shape[1] % patch_height))
        return self.norm(self.proj(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))


def make_depthwise(dim: int, kernel_size: int, stride: int = 1, padding: int = 0) -> nn.Conv2d:
    """A depthwise convolution."""
    layer = nn.Conv2d(dim, dim, kernel_size, stride, padding, groups=dim)
    # Gives the weight its gradient's strides, which DistributedDataParallel compares. Nothing
    # moves: in memory, a depthwise weight is the same in both formats.
    return layer.to(memory_format=torch.channels_last)


class PositionEncodingGenerator(nn.Module):
    """Conditional position encoding (PEG): adds a depthwise 3x3 convolution to its input.

    `(B, H, W, C)` to the same. Source: Twins, section 3.1; Chu et al., arXiv 2102.10882.
    """

    def __init__(self, dim: int):
        super().__init__()
        # A Sequential with one module, because the released weights are named `proj.0`.
        self.proj = nn.Sequential(make_depthwise(dim, 3, padding=1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.proj(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class DropPath(nn.Module):
    """Stochastic depth: in training, drops a whole branch with probability `p`, per sample.

    Surviving branches are divided by `1 - p` to preserve the expectation.
    """

    def __init__(self, p: float):
        super().__init__()
        self.p = p

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training or self.p == 0:
            return x
        survives = x.new_empty(x.shape[0], *[1] * (x.ndim - 1)).bernoulli_(1 - self.p)
        return x * (survives / (1 - self.p))

    def extra_repr(self) -> str:
        return f'p={self.p:.3f}'


def finish_recomputed(mlp: nn.Module, hidden: torch.Tensor, drop: float = 0.0) -> torch.Tensor:
    """`mlp.finish(hidden)`; in training recomputed in the backward pass, if `mlp.recompute`.

    The hidden activations are the largest tensors of a network. `drop` is the dropout in `finish`.
    """
    if mlp.recompute and mlp.training and hidden.requires_grad:
        return checkpoint(mlp.finish, hidden, use_reentrant=False, preserve_rng_state=drop > 0)
    return mlp.finish(hidden)


class Mlp(nn.Module):
    """Linear, GELU, Linear over the last dimension. `(..., dim)` to the same.

    Args:
        hidden_dim: Width between the two layers, 4 or 8 times `dim` in Twins.
        drop: Dropout after GELU and at the end.
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


class Block(nn.Module):
    """A pre-norm transformer block: attention, then MLP. `(B, H, W, dim)` to the same.

    Args:
        attention: `(B, H, W, dim)` to the same; it may take more than that, see `forward`.
        mlp: `(B, H, W, dim)` to the same.
        drop_path: Probability of dropping each of the two branches, drawn once for each.
        norm_eps: Epsilon of both norms.
    """

    def __init__(
        self, dim: int, attention: nn.Module, mlp: nn.Module, drop_path: float, norm_eps: float
    ):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=norm_eps)
        self.attn = attention
        self.norm2 = nn.LayerNorm(dim, eps=norm_eps)
        self.mlp = mlp
        self.drop_path = DropPath(drop_path)

    def forward(self, x: torch.Tensor, *args: torch.Tensor | None) -> torch.Tensor:
        """`args` are the attention's, besides its input."""
        x = x + self.drop_path(self.attn(self.norm1(x), *args))
        return x + self.drop_path(self.mlp(self.norm2(x)))
