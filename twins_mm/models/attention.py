"""The two attentions of Twins: locally-grouped (LSA) and global sub-sampled (GSA).

Letters in shapes: B images, H x W tokens, C channels, N heads with D = C / N channels,
K tokens per side of a window, L windows.
"""

from collections import OrderedDict
from collections.abc import Callable
from itertools import repeat
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from .cpu import attend_in_pieces, lacks_bfloat16_attention, linear
from .layers import make_depthwise

WINDOW_PADDINGS = ('mask', 'zero', 'mask_legacy')
# torch's CUDA kernels for attention fail beyond this batch (pytorch issues 142228 and 146704).
MAX_BATCH = 2**16 - 1

# torch before 2.7 doesn't tell.
_is_exporting = getattr(torch.compiler, 'is_exporting', bool)


def _is_for_any_size() -> bool:
    """Whether what runs becomes a graph for maps of every size: it is exported or traced."""
    return _is_exporting() or torch.jit.is_tracing()


def window_partition(x: torch.Tensor, window_size: int) -> torch.Tensor:
    """Cuts a map `(B, H, W, C)` into windows `(B * L, K * K, C)`, image by image, row by row.

    A side that is not a multiple of the window is padded with zeros, right and bottom.
    """
    batch, height, width, channels = x.shape
    rows, columns = _count_windows(height, window_size), _count_windows(width, window_size)
    # `pad` copies even if there is nothing to add.
    if _is_for_any_size() or height % window_size or width % window_size:
        x = F.pad(x, (0, 0, 0, columns * window_size - width, 0, rows * window_size - height))
    x = x.view(batch, rows, window_size, columns, window_size, channels)
    # Not a `reshape`, which is a view where there is one column: a graph must know which.
    x = x.transpose(2, 3).clone(memory_format=torch.contiguous_format)
    return x.view(-1, window_size**2, channels)


def window_unpartition(
    windows: torch.Tensor, window_size: int, height: int, width: int
) -> torch.Tensor:
    """Undoes `window_partition`: `(B * L, K * K, C)` back to `(B, height, width, C)`."""
    rows, columns = _count_windows(height, window_size), _count_windows(width, window_size)
    x = windows.unflatten(1, (window_size, window_size)).unflatten(0, (-1, rows, columns))
    x = x.transpose(2, 3).clone(memory_format=torch.contiguous_format)
    x = x.flatten(3, 4).flatten(1, 2)
    if not _is_for_any_size():
        return x[:, :height, :width]
    # A slice is contiguous at some sizes only, and the graph would be refused at the others.
    for dim, side in ((1, height), (2, width)):
        x = x.index_select(dim, torch.arange(side, device=x.device))
    return x


def _count_windows(side: int, window_size: int) -> int:
    # Not `-(-side // window_size)`, which makes torch.export ten times slower, and ONNX rounds
    # negative numbers the other way.
    return (side + window_size - 1) // window_size


def _split_heads(tokens: torch.Tensor, num_heads: int) -> torch.Tensor:
    """`(B, T, C)` to `(B, N, T, D)`."""
    return tokens.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def merge_heads(tokens: torch.Tensor) -> torch.Tensor:
    """Undoes `_split_heads`."""
    return tokens.transpose(1, 2).flatten(2)


def attend(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    mask: torch.Tensor | None = None,
    drop: float = 0.0,
) -> torch.Tensor:
    """`F.scaled_dot_product_attention` of `(B, N, T, D)`.

    `mask`, `(B, 1, 1, T)`, is True for the keys that take part, at least one; None is all. `drop`
    is the dropout on the attention weights.
    """
    if not drop and lacks_bfloat16_attention(q):
        return attend_in_pieces(q, k, v, mask)
    return F.scaled_dot_product_attention(q, k, v, mask, drop)


class LocallyGroupedAttention(nn.Module):
    """LSA: self-attention inside each K x K window. `(B, H, W, C)` to the same.

    Args:
        dim: C.
        num_heads: N, which divides `dim`.
        window_size: K, in tokens.
        padding: How padding is treated if windows don't fit the map. 'mask' excludes it from
            the softmax; 'zero' includes it, like the released detection code; 'mask_legacy' is
            the released segmentation code, whose mask vanishes when exactly one side needs
            padding.
        attn_drop: Dropout on the attention weights.
        proj_drop: Dropout on the output.

    Raises:
        ValueError: `padding` is not one of these.

    Source: Twins, section 3.2.
    """

    title = 'LSA'

    def __init__(
        self,
        dim: int,
        num_heads: int,
        window_size: int,
        padding: str = 'mask',
        attn_drop: float = 0.0,
        proj_drop: float = 0.0,
    ):
        super().__init__()
        if padding not in WINDOW_PADDINGS:
            raise ValueError(
                f'window_padding={padding!r} is unknown; pass one of {", ".join(WINDOW_PADDINGS)}'
            )
        self.num_heads = num_heads
        self.window_size = window_size
        self.padding = padding
        self.attn_drop = attn_drop
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.proj_drop = nn.Dropout(proj_drop)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """`mask` is that of `make_mask`; a stage makes it once for all of its blocks."""
        height, width = x.shape[1:3]
        if mask is None:
            mask = self.make_mask(x)
        windows = window_partition(x, self.window_size)
        # A list, because torch.compile of torch 2.1 can't unpack a generator.
        qkv = linear(self.qkv, windows).chunk(3, -1)
        q, k, v = [_split_heads(part, self.num_heads) for part in qkv]
        windows = self._attend(q, k, v, mask)
        x = window_unpartition(merge_heads(windows), self.window_size, height, width)
        return self.proj_drop(linear(self.proj, x))

    def _attend(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None
    ) -> torch.Tensor:
        drop = self.attn_drop if self.training else 0.0
        if _is_for_any_size() or q.shape[0] <= MAX_BATCH:
            return attend(q, k, v, mask, drop)
        return torch.cat(
            [
                self._attend(*parts)
                for parts in zip(
                    *(tensor.split(MAX_BATCH) for tensor in (q, k, v)),
                    repeat(None) if mask is None else mask.split(MAX_BATCH),
                )
            ]
        )

    def make_mask(self, x: torch.Tensor) -> torch.Tensor | None:
        """False for keys of padding, `(B * L, 1, 1, K * K)`; None if all take part."""
        batch, height, width, _ = x.shape
        extra_rows, extra_columns = height % self.window_size, width % self.window_size
        if self.padding == 'zero':
            return None
        if not _is_for_any_size():
            padded_sides = (extra_rows > 0) + (extra_columns > 0)
            if padded_sides == 0 or self.padding == 'mask_legacy' and padded_sides == 1:
                return None
        mask = window_partition(x.new_ones(1, height, width, 1), self.window_size) > 0
        if self.padding == 'mask_legacy':
            mask = mask | (x.new_full((), extra_rows * extra_columns) == 0)
        return mask.view(-1, 1, 1, self.window_size**2).repeat(batch, 1, 1, 1)


class SubSampling(NamedTuple):
    """What turns each square of tokens into one key of GSA.

    Attributes:
        make: From channels and ratio, `(B, C, H, W)` to `(B, C, H // ratio, W // ratio)`.
        mark: The weight that tells it from those that follow in `SUB_SAMPLINGS`. What has no
            weights of its own can't be told from average pooling, whose mark is the norm's.
    """

    make: Callable[[int, int], nn.Module]
    mark: str


def _make_separable(dim: int, ratio: int) -> nn.Module:
    return nn.Sequential(
        OrderedDict(depthwise=make_depthwise(dim, ratio, ratio), pointwise=nn.Conv2d(dim, dim, 1))
    )


SUB_SAMPLINGS = {
    'convolution': SubSampling(
        lambda dim, ratio: nn.Conv2d(dim, dim, ratio, ratio), mark='sr.weight'
    ),
    'separable_convolution': SubSampling(_make_separable, mark='sr.depthwise.weight'),
    'average_pooling': SubSampling(lambda dim, ratio: nn.AvgPool2d(ratio), mark='norm.weight'),
}


class GlobalSubsampledAttention(nn.Module):
    """GSA: every token attends to a sub-sampled map. `(B, H, W, C)` to the same.

    Args:
        dim: C.
        num_heads: N, which divides `dim`.
        sr_ratio: Side of the square of tokens that one key represents, flooring sizes that it
            doesn't divide. 1 is plain global self-attention.
        sub_sampling: What turns each square into a key, before a LayerNorm: 'convolution', with
            this kernel and stride; 'separable_convolution', the same depthwise, then 1 x 1; or
            'average_pooling', without parameters.
        attn_drop: Dropout on the attention weights.
        proj_drop: Dropout on the output.

    Raises:
        ValueError: `sub_sampling` is not one of these.

    Source: Twins, section 3.2; with a convolution, it is the attention of PVT, arXiv 2102.12122.
    Table 6 doesn't say whether its separable convolution has the 1 x 1 part.
    """

    title = 'GSA'

    def __init__(
        self,
        dim: int,
        num_heads: int,
        sr_ratio: int,
        sub_sampling: str = 'convolution',
        attn_drop: float = 0.0,
        proj_drop: float = 0.0,
    ):
        super().__init__()
        if sub_sampling not in SUB_SAMPLINGS:
            raise ValueError(
                f'sub_sampling={sub_sampling!r} is unknown; pass one of {", ".join(SUB_SAMPLINGS)}'
            )
        self.num_heads = num_heads
        self.sr_ratio = sr_ratio
        self.attn_drop = attn_drop
        self.q = nn.Linear(dim, dim)
        self.kv = nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)
        self.proj_drop = nn.Dropout(proj_drop)
        if sr_ratio > 1:
            self.sr = SUB_SAMPLINGS[sub_sampling].make(dim, sr_ratio)
            self.norm = nn.LayerNorm(dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        height, width = x.shape[1:3]
        q = _split_heads(linear(self.q, x).flatten(1, 2), self.num_heads)
        if self.sr_ratio > 1:
            x = self.norm(self.sr(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
        k, v = [
            _split_heads(part, self.num_heads)
            for part in linear(self.kv, x).flatten(1, 2).chunk(2, -1)
        ]
        x = attend(q, k, v, drop=self.attn_drop if self.training else 0.0)
        x = merge_heads(x).unflatten(1, (height, width))
        return self.proj_drop(linear(self.proj, x))
