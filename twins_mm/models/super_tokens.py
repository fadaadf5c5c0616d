"""Super token attention (STA), which attends globally between a few averages of tokens.

Every token of a cell, a square of the map, is associated with nine super tokens: its cell's and
those of the cells around it. So tokens are grouped by cells, and their associations are one small
matrix a cell.

Letters in shapes: B images, H x W tokens, P x Q cells of G x G tokens each, C channels.
"""

import torch
from torch import nn
from torch.nn import functional as F

from .attention import merge_heads, window_partition, window_unpartition
from .cpu import multiply

# From a cell to its neighbours, in rows and columns, itself in the middle.
_NEIGHBOURS = [(rows, columns) for rows in (-1, 0, 1) for columns in (-1, 0, 1)]


class PointwiseConv(nn.Conv2d):
    """A 1 x 1 convolution of maps `(..., C)`: a Linear whose weight has a convolution's shape."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return multiply(x, self.weight.flatten(1), self.bias)


class SuperTokenAttention(nn.Module):
    """STA: tokens are averaged to super tokens, which attend to each other.

    `(B, H, W, dim)` to the same. The super tokens start as the cells' means. A softmax of each
    token's products with its nine gives its association with them; they become means weighted by
    it, attend to each other, and are mapped back to the tokens by it. It has no gradient. Super
    tokens beyond the map are zero, and stay in the softmax; so do the zeros that complete the
    cells.

    Args:
        num_heads: Those of the attention between super tokens, which divide `dim`.
        grid: Side of a cell, in tokens. 1 is plain global attention.

    Source: algorithm 1 of STViT with one iteration; gradient and zeros are the released code's.
    """

    title = 'STA'

    def __init__(self, dim: int, num_heads: int, grid: int):
        super().__init__()
        self.grid = grid
        self.stoken_refine = TokenAttention(dim, num_heads)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.grid == 1:
            return self.stoken_refine(x)
        batch, height, width, dim = x.shape
        cells = window_partition(x, self.grid)  # (B * P * Q, G * G, C)
        shape = batch, (height + self.grid - 1) // self.grid, (width + self.grid - 1) // self.grid
        with torch.no_grad():
            means = cells.mean(1).unflatten(0, shape)
            products = cells @ unfold(means).flatten(0, 2).transpose(1, 2)
            association = (products * dim**-0.5).softmax(-1)  # (B * P * Q, G * G, 9)
            weights = fold(association.sum(1).unsqueeze(-1).unflatten(0, shape))
        sums = fold((association.transpose(1, 2) @ cells).unflatten(0, shape))
        super_tokens = self.stoken_refine(sums / (weights + 1e-12))
        cells = association @ unfold(super_tokens).flatten(0, 2)
        return window_unpartition(cells, self.grid, height, width)


def unfold(cells: torch.Tensor) -> torch.Tensor:
    """Each cell's neighbours, zeros beyond the map: `(B, P, Q, C)` to `(B, P, Q, 9, C)`."""
    return torch.stack([_shift(cells, -rows, -columns) for rows, columns in _NEIGHBOURS], 3)


def fold(neighbours: torch.Tensor) -> torch.Tensor:
    """Adds each cell's nine values to its neighbours: `(B, P, Q, 9, C)` to `(B, P, Q, C)`."""
    return sum(
        _shift(part, rows, columns)
        for part, (rows, columns) in zip(neighbours.unbind(3), _NEIGHBOURS)
    )


def _shift(cells: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """Moves a map `(B, P, Q, C)` down and to the right; what leaves is lost, what enters is 0."""
    return F.pad(cells, (0, 0, columns, -columns, rows, -rows))


class TokenAttention(nn.Module):
    """Global multi-head self-attention. `(B, H, W, dim)` to the same.

    The channels of `qkv` are queries, keys and values of the first head, then of the next.
    """

    def __init__(self, dim: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.qkv = PointwiseConv(dim, 3 * dim)
        self.proj = PointwiseConv(dim, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        height, width = x.shape[1:3]
        qkv = self.qkv(x).flatten(1, 2).unflatten(-1, (self.num_heads, 3, -1))
        q, k, v = [part.transpose(1, 2) for part in qkv.unbind(-2)]
        x = merge_heads(F.scaled_dot_product_attention(q, k, v))
        return self.proj(x.unflatten(1, (height, width)))
