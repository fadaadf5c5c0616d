"""The released STViT in textbook form: what tests and the benchmark compare ours with.

It shares no code with ours, and it is never optimised, like `twins.py`.

Shapes: B images, H x W positions on a map, C channels; P x Q super tokens, one for each G x G cell.
"""

from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional as F

_ARCHS = {  # channels, depths, heads, sides of cells, layer scales
    'small': ((64, 128, 320, 512), (3, 5, 9, 3), (1, 2, 5, 8), (8, 4, 1, 1), (0,) * 4),
    'base': ((96, 192, 384, 512), (4, 6, 14, 6), (2, 3, 6, 8), (8, 4, 1, 1), (0, 0, 1e-6, 1e-6)),
    'large': ((96, 192, 448, 640), (4, 7, 19, 8), (2, 3, 7, 10), (8, 4, 1, 1), (0, 0, 1e-6, 1e-6)),
}


def textbook_stvit(arch, out_indices=(0, 1, 2, 3)):
    """Build a backbone: images (B, 3, H, W) -> a tuple of maps (B, C_i, H_i, W_i).

    Args:
        arch: 'small', 'base' or 'large', or a dict like those of the class.
        out_indices: The stages to return; after the last of them none is built.
    """
    if isinstance(arch, str):
        dims, depths, heads, grids, scaled = _ARCHS[arch]
        return _TextbookSTViT(dims, depths, heads, grids, (4,) * 4, scaled, out_indices)
    return _TextbookSTViT(
        arch['embed_dims'],
        arch['depths'],
        arch['num_heads'],
        arch['grid_sizes'],
        arch['mlp_ratios'],
        arch.get('layer_scales', (0,) * 4),
        out_indices,
    )


class _NormOfChannels(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.norm = nn.LayerNorm(dim, eps=1e-6)

    def forward(self, x):
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class _AddDepthwise(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.conv = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)

    def forward(self, x):
        return x + self.conv(x)


class _Neighbours(nn.Module):
    """Frozen kernels with a single one, each of which looks at another of nine neighbours."""

    def __init__(self):
        super().__init__()
        self.weights = nn.Parameter(torch.eye(9).reshape(9, 1, 3, 3), requires_grad=False)


class _Unfold(_Neighbours):
    """(B, C, P, Q) -> (B, C, 9, P, Q): the nine around each position, zero beyond the map."""

    def forward(self, x):
        B, C, P, Q = x.shape
        return F.conv2d(x.reshape(B * C, 1, P, Q), self.weights, padding=1).reshape(B, C, 9, P, Q)


class _Fold(_Neighbours):
    """(B, C, 9, P, Q) -> (B, C, P, Q): the reverse, adding what comes to a position."""

    def forward(self, x):
        B, C, _, P, Q = x.shape
        x = F.conv_transpose2d(x.reshape(B * C, 9, P, Q), self.weights, padding=1)
        return x.reshape(B, C, P, Q)


class _Attention(nn.Module):
    """Attention of all to all, (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, dim, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Conv2d(dim, 3 * dim, 1)
        self.proj = nn.Conv2d(dim, dim, 1)

    def forward(self, x):
        B, C, H, W = x.shape
        # Channels: the heads, in each its queries, keys and values.
        q, k, v = self.qkv(x).reshape(B, self.num_heads, 3, -1, H * W).unbind(2)
        weights = (q.transpose(-2, -1) @ k * q.shape[2] ** -0.5).softmax(-1)
        return self.proj((v @ weights.transpose(-2, -1)).reshape(B, C, H, W))


class _SuperTokenAttention(nn.Module):
    """STA, (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, dim, num_heads, grid):
        super().__init__()
        self.grid = grid
        self.unfold = _Unfold()
        self.fold = _Fold()
        self.stoken_refine = _Attention(dim, num_heads)

    def forward(self, x):
        if self.grid == 1:
            return self.stoken_refine(x)
        H, W = x.shape[2:]
        G = self.grid
        x = F.pad(x, (0, -W % G, 0, -H % G))
        B, C = x.shape[:2]
        P, Q = x.shape[2] // G, x.shape[3] // G
        pixels = x.reshape(B, C, P, G, Q, G).permute(0, 2, 4, 3, 5, 1).reshape(B, P * Q, G * G, C)
        with torch.no_grad():
            around = self.unfold(F.avg_pool2d(x, G)).permute(0, 3, 4, 1, 2).reshape(B, P * Q, C, 9)
            parts = (pixels @ around * C**-0.5).softmax(-1)  # (B, P * Q, G * G, 9)
            count = self.fold(parts.sum(2).transpose(1, 2).reshape(B, 1, 9, P, Q))
        sums = (pixels.transpose(-2, -1) @ parts).permute(0, 2, 3, 1).reshape(B, C, 9, P, Q)
        super_tokens = self.stoken_refine(self.fold(sums) / (count + 1e-12))
        around = self.unfold(super_tokens).permute(0, 3, 4, 1, 2).reshape(B, P * Q, C, 9)
        pixels = (around @ parts.transpose(-2, -1)).reshape(B, P, Q, C, G, G)
        return pixels.permute(0, 3, 1, 4, 2, 5).reshape(B, C, P * G, Q * G)[:, :, :H, :W]


class _Block(nn.Module):
    """(B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, dim, num_heads, grid, hidden, scale):
        super().__init__()
        self.pos_embed = _AddDepthwise(dim)
        self.norm1 = _NormOfChannels(dim)
        self.attn = _SuperTokenAttention(dim, num_heads, grid)
        self.norm2 = nn.BatchNorm2d(dim)
        self.mlp2 = nn.Sequential(
            OrderedDict(
                fc1=nn.Conv2d(dim, hidden, 1),
                act=nn.GELU(),
                conv=_AddDepthwise(hidden),
                fc2=nn.Conv2d(hidden, dim, 1),
            )
        )
        self.has_scale = bool(scale)
        if scale:
            self.gamma_1 = nn.Parameter(torch.full((1, dim, 1, 1), float(scale)))
            self.gamma_2 = nn.Parameter(torch.full((1, dim, 1, 1), float(scale)))

    def forward(self, x):
        gamma_1, gamma_2 = (self.gamma_1, self.gamma_2) if self.has_scale else (1, 1)
        x = self.pos_embed(x)
        x = x + gamma_1 * self.attn(self.norm1(x))
        return x + gamma_2 * self.mlp2(self.norm2(x))


class _Stem(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.proj = nn.Sequential(
            nn.Conv2d(3, dim // 2, 3, stride=2, padding=1),
            nn.GELU(),
            nn.BatchNorm2d(dim // 2),
            nn.Conv2d(dim // 2, dim // 2, 3, padding=1),
            nn.GELU(),
            nn.BatchNorm2d(dim // 2),
            nn.Conv2d(dim // 2, dim, 3, stride=2, padding=1),
            nn.GELU(),
            nn.BatchNorm2d(dim),
            nn.Conv2d(dim, dim, 3, padding=1),
            nn.GELU(),
            nn.BatchNorm2d(dim),
        )

    def forward(self, x):
        return self.proj(x)


class _Merging(nn.Module):
    def __init__(self, in_dim, dim):
        super().__init__()
        self.proj = nn.Sequential(
            nn.Conv2d(in_dim, dim, 3, stride=2, padding=1), nn.BatchNorm2d(dim)
        )

    def forward(self, x):
        return self.proj(x)


class _TextbookSTViT(nn.Module):
    """STViT; `textbook_stvit` says what goes in and what comes out."""

    def __init__(self, dims, depths, heads, grids, mlp_ratios, scales, out_indices):
        super().__init__()
        self.out_indices = out_indices
        self.patch_embed = _Stem(dims[0])
        self.layers = nn.ModuleList()
        for i in range(max(out_indices) + 1):
            blocks = [
                _Block(dims[i], heads[i], grids[i], int(dims[i] * mlp_ratios[i]), scales[i])
                for _ in range(depths[i])
            ]
            self.layers.append(nn.ModuleDict(dict(blocks=nn.ModuleList(blocks))))
            if i < max(out_indices):
                self.layers[i]['downsample'] = _Merging(dims[i], dims[i + 1])

    def forward(self, images):
        x, outputs = self.patch_embed(images), []
        for i, stage in enumerate(self.layers):
            for block in stage['blocks']:
                x = block(x)
            if i in self.out_indices:
                outputs.append(x)
            if 'downsample' in stage:
                x = stage['downsample'](x)
        return tuple(outputs)
