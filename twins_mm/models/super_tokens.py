"""Super token attention (STA), which attends globally between a few averages of tokens.

Every token of a cell, a square of the map, has the same nine super tokens: its cell's and those of
the cells around it. So tokens are grouped by cells, and what they share is one small matrix a cell.

Letters in shapes: B images, H x W tokens, P x Q cells of G x G tokens each, C channels.
"""

import torch
from torch import nn
from torch.nn import functional as F

from .attention import merge_heads, window_partition, window_unpartition
from .layers import PointwiseConv

# From a cell to its surroundings, in rows and columns, itself in the middle.
_SURROUNDINGS = [(rows, columns) for rows in (-1, 0, 1) for columns in (-1, 0, 1)]


class SuperTokenAttention(nn.Module):
    """STA: tokens are averaged to super tokens, which attend to each other. `(B, H, W, C)` to it.

    The super tokens start as the cells' means. Each token then belongs, in parts that a softmax of
    its products with them gives, to its nine; they become means weighted with these parts, attend
    to each other, and are mixed by them again. The parts have no gradient. Super tokens beyond the
    map are zero, and stay in the softmax; so do the zeros that complete the cells.

    Args:
        grid: Side of a cell. 1 is plain global attention.

    Source: algorithm 1 of STViT with one iteration; gradient and zeros are the released code's.
    """

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
            products = cells @ _gather(means).flatten(0, 2).transpose(1, 2)
            parts = (products * dim**-0.5).softmax(-1)  # (B * P * Q, G * G, 9)
            weight = _scatter(parts.sum(1).unsqueeze(-1).unflatten(0, shape))
        sums = _scatter((parts.transpose(1, 2) @ cells).unflatten(0, shape))
        super_tokens = self.stoken_refine(sums / (weight + 1e-12))
        cells = parts @ _gather(super_tokens).flatten(0, 2)
        return window_unpartition(cells, self.grid, height, width)


def _gather(cells: torch.Tensor) -> torch.Tensor:
    """What surrounds each cell, with zeros beyond the map: `(B, P, Q, C)` to `(B, P, Q, 9, C)`."""
    return torch.stack([_shift(cells, -rows, -columns) for rows, columns in _SURROUNDINGS], 3)


def _scatter(shares: torch.Tensor) -> torch.Tensor:
    """Adds the shares of each cell to the cells around it: `(B, P, Q, 9, C)` to `(B, P, Q, C)`."""
    return sum(
        _shift(share, rows, columns)
        for share, (rows, columns) in zip(shares.unbind(3), _SURROUNDINGS)
    )


def _shift(cells: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """Moves a map `(B, P, Q, C)` down and to the right; what leaves is lost, what enters is 0."""
    return F.pad(cells, (0, 0, columns, -columns, rows, -rows))


class TokenAttention(nn.Module):
    """Global multi-head self-attention. `(B, H, W, C)` to the same.

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
