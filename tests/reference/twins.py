"""The released Twins backbones in textbook form: what tests and the benchmark compare ours with.

It shares no code with ours, and it is never optimised: a mistake on either side must show, and a
figure relative to this one means the same next year.

Shapes: B images, H x W positions on a map, N = H * W tokens, M keys, C channels; G windows of T.
"""

from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional as F

_KEYS = 'embed_dims', 'num_heads', 'mlp_ratios', 'sr_ratios', 'depths'
_PCPVT = (64, 128, 320, 512), (1, 2, 5, 8), (8, 8, 4, 4), (8, 4, 2, 1)
_SVT_S = (64, 128, 256, 512), (2, 4, 8, 16), (4, 4, 4, 4), (8, 4, 2, 1)
_SVT_B = (96, 192, 384, 768), (3, 6, 12, 24), (4, 4, 4, 4), (8, 4, 2, 1)
_SVT_L = (128, 256, 512, 1024), (4, 8, 16, 32), (4, 4, 4, 4), (8, 4, 2, 1)
_ARCHS = {
    ('TwinsPCPVT', 'small'): (*_PCPVT, (3, 4, 6, 3)),
    ('TwinsPCPVT', 'base'): (*_PCPVT, (3, 4, 18, 3)),
    ('TwinsPCPVT', 'large'): (*_PCPVT, (3, 8, 27, 3)),
    ('TwinsSVT', 'small'): (*_SVT_S, (2, 2, 10, 4)),
    ('TwinsSVT', 'base'): (*_SVT_B, (2, 2, 18, 2)),
    ('TwinsSVT', 'large'): (*_SVT_L, (2, 2, 18, 2)),
}


def textbook_twins(
    family, arch, window_padding='mask', norm_after_stage=None, out_indices=(0, 1, 2, 3)
):
    """Build a backbone: images (B, 3, H, W) -> a tuple of maps (B, C_i, H_i, W_i).

    Args:
        family: 'TwinsPCPVT' or 'TwinsSVT'.
        arch: 'small', 'base' or 'large', or a dict of `_KEYS` and, for SVT, perhaps `window_sizes`.
        window_padding: 'zero', 'mask' or 'mask_legacy'; see `_window_bias`.
        norm_after_stage: Whether stages end with a LayerNorm. None is as released: SVT's do.
        out_indices: The stages to return; after the last of them none is built.
    """
    if family not in ('TwinsPCPVT', 'TwinsSVT'):
        raise ValueError(f'unknown family: {family!r}')
    if isinstance(arch, str):
        arch = dict(zip(_KEYS, _ARCHS[family, arch], strict=True))
    if norm_after_stage is None:
        norm_after_stage = family == 'TwinsSVT'
    return _TextbookTwins(family, arch, window_padding, norm_after_stage, out_indices)


def _to_map(tokens, H, W):
    """(B, N, C) -> (B, C, H, W)."""
    return tokens.transpose(1, 2).reshape(len(tokens), -1, H, W)


def _to_tokens(feature_map):
    """(B, C, H, W) -> (B, N, C)."""
    return feature_map.flatten(2).transpose(1, 2)


def _to_windows(x, size):
    """(B, H, W, C) -> (B, G, T, C), with T = size * size."""
    B, H, W, C = x.shape
    x = x.reshape(B, H // size, size, W // size, size, C)
    return x.transpose(2, 3).reshape(B, -1, size * size, C)


def _from_windows(x, size, H, W):
    """(B, G, T, C) -> (B, H, W, C)."""
    B, _, _, C = x.shape
    x = x.reshape(B, H // size, W // size, size, size, C)
    return x.transpose(2, 3).reshape(B, H, W, C)


def _window_bias(window_padding, size, H, W):
    """Return what is added to the scores within windows: broadcasts to (G, T queries, T keys).

    'zero' adds nothing, so padding takes part: the released detection code. 'mask' hides padding.
    'mask_legacy', the released segmentation code, is meant to separate padding from real tokens.
    """
    below, right = -H % size, -W % size
    is_padding = torch.zeros(1, H + below, W + right, 1, dtype=torch.bool)
    first_row, first_column = H, W
    if window_padding == 'mask_legacy':
        # The released bug: a slice from -0 is the whole axis, so a side that needs no padding
        # marks every token, all are alike, and nothing is separated.
        first_row, first_column = -below, -right
    is_padding[:, first_row:] = True
    is_padding[:, :, first_column:] = True
    key = _to_windows(is_padding, size).reshape(-1, 1, size * size)
    query = key.transpose(1, 2)
    return {
        'zero': torch.zeros(len(key), 1, 1),
        'mask': torch.where(key, float('-inf'), 0.0),
        'mask_legacy': torch.where(query != key, -1000.0, 0.0),
    }[window_padding]


def _attend(q, k, v, num_heads, bias=None):
    """Multi-head attention: q (..., N, C), k and v (..., M, C), bias (..., N, M) -> (..., N, C)."""
    q, k, v = (x.unflatten(-1, (num_heads, -1)).transpose(-3, -2) for x in (q, k, v))
    scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
    if bias is not None:
        scores = scores + bias.to(scores).unsqueeze(-3)
    return (scores.softmax(dim=-1) @ v).transpose(-3, -2).flatten(-2)


class _LocalAttention(nn.Module):
    """LSA: attention within windows, (B, N, C) -> (B, N, C)."""

    def __init__(self, dim, num_heads, window_size, window_padding):
        super().__init__()
        self.num_heads, self.size, self.window_padding = num_heads, window_size, window_padding
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x, H, W):
        B, N, C = x.shape
        below, right = -H % self.size, -W % self.size
        x = F.pad(x.reshape(B, H, W, C), (0, 0, 0, right, 0, below))
        q, k, v = self.qkv(_to_windows(x, self.size)).chunk(3, dim=-1)
        x = _attend(q, k, v, self.num_heads, _window_bias(self.window_padding, self.size, H, W))
        x = _from_windows(x, self.size, H + below, W + right)[:, :H, :W]
        return self.proj(x.reshape(B, N, C))


class _GlobalAttention(nn.Module):
    """GSA: every token attends to a sub-sampled map, (B, N, C) -> (B, N, C)."""

    def __init__(self, dim, num_heads, sr_ratio):
        super().__init__()
        self.num_heads, self.sr_ratio = num_heads, sr_ratio
        self.q = nn.Linear(dim, dim)
        self.kv = nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)
        if sr_ratio > 1:
            self.sr = nn.Conv2d(dim, dim, kernel_size=sr_ratio, stride=sr_ratio)
            self.norm = nn.LayerNorm(dim, eps=1e-5)

    def forward(self, x, H, W):
        q = self.q(x)
        if self.sr_ratio > 1:
            x = self.norm(_to_tokens(self.sr(_to_map(x, H, W))))
        k, v = self.kv(x).chunk(2, dim=-1)
        return self.proj(_attend(q, k, v, self.num_heads))


class _Block(nn.Module):
    """A pre-norm transformer block, (B, N, C) -> (B, N, C)."""

    def __init__(self, dim, mlp_ratio, attn):
        super().__init__()
        hidden = int(dim * mlp_ratio)
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = attn
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = nn.Sequential(
            OrderedDict(fc1=nn.Linear(dim, hidden), act=nn.GELU(), fc2=nn.Linear(hidden, dim))
        )

    def forward(self, x, H, W):
        x = x + self.attn(self.norm1(x), H, W)
        return x + self.mlp(self.norm2(x))


class _PatchEmbed(nn.Module):
    """A map (B, C_in, H_in, W_in) -> tokens (B, N, C), H, W; what fills no patch is dropped."""

    def __init__(self, in_dim, dim, patch_size):
        super().__init__()
        self.proj = nn.Conv2d(in_dim, dim, kernel_size=patch_size, stride=patch_size)
        self.norm = nn.LayerNorm(dim, eps=1e-5)

    def forward(self, feature_map):
        feature_map = self.proj(feature_map)
        return self.norm(_to_tokens(feature_map)), *feature_map.shape[2:]


class _PositionEncoding(nn.Module):
    """PEG: a depthwise convolution whose zero padding shows the edges, (B, N, C) -> (B, N, C)."""

    def __init__(self, dim):
        super().__init__()
        self.proj = nn.Sequential(nn.Conv2d(dim, dim, kernel_size=3, padding=1, groups=dim))

    def forward(self, x, H, W):
        return x + _to_tokens(self.proj(_to_map(x, H, W)))


class _TextbookTwins(nn.Module):
    """Twins-PCPVT or Twins-SVT; `textbook_twins` says what goes in and what comes out."""

    def __init__(self, family, arch, window_padding, norm_after_stage, out_indices):
        super().__init__()
        self.out_indices = out_indices
        self.patch_embeds = nn.ModuleList()
        self.pos_block = nn.ModuleList()
        self.blocks = nn.ModuleList()
        self.norm_list = nn.ModuleDict()
        window_sizes = arch.get('window_sizes', (7, 7, 7, 7))
        in_dim, patch_size = 3, 4
        for i in range(max(out_indices) + 1):
            dim, num_heads = arch['embed_dims'][i], arch['num_heads'][i]
            blocks = nn.ModuleList()
            for j in range(arch['depths'][i]):
                if family == 'TwinsSVT' and j % 2 == 0:
                    attn = _LocalAttention(dim, num_heads, window_sizes[i], window_padding)
                else:
                    attn = _GlobalAttention(dim, num_heads, arch['sr_ratios'][i])
                blocks.append(_Block(dim, arch['mlp_ratios'][i], attn))
            self.patch_embeds.append(_PatchEmbed(in_dim, dim, patch_size))
            self.pos_block.append(_PositionEncoding(dim))
            self.blocks.append(blocks)
            if norm_after_stage:
                self.norm_list[str(i)] = nn.LayerNorm(dim, eps=1e-6)
            in_dim, patch_size = dim, 2

    def forward(self, images):
        feature_map, outputs = images, []
        for i, blocks in enumerate(self.blocks):
            x, H, W = self.patch_embeds[i](feature_map)
            for j, block in enumerate(blocks):
                x = block(x, H, W)
                if j == 0:
                    x = self.pos_block[i](x, H, W)
            # As released, the normed map is both what is returned and what the next stage takes.
            if str(i) in self.norm_list:
                x = self.norm_list[str(i)](x)
            feature_map = _to_map(x, H, W)
            if i in self.out_indices:
                outputs.append(feature_map)
        return tuple(outputs)
