"""STViT as a feature pyramid for dense prediction.

Source: Huang et al., "Vision Transformer with Super Token Sampling", CVPR 2023, arXiv 2211.11167;
where its supplement is silent, its authors' released code.
"""

from collections.abc import Sequence

import torch
from mmengine.registry import MODELS
from torch import nn
from torch.nn import functional as F

from .backbone import Arch, Backbone, are_patterns, check_arch, to_nchw
from .cpu import gelu, is_observed
from .layers import DropPath, PatchEmbed, finish_recomputed, make_depthwise
from .published_weights import Layout, Weights
from .super_tokens import PointwiseConv, SuperTokenAttention

_AUTOCAST_TAKES_DEVICE = tuple(map(int, torch.__version__.split('.')[:2])) >= (2, 4)
_FIELDS = ('embed_dims', 'depths', 'num_heads', 'mlp_ratios', 'grid_sizes')


def _is_autocast(device: str) -> bool:
    if device == 'meta':
        return False
    if device == 'cpu' and not _AUTOCAST_TAKES_DEVICE:
        return torch.is_autocast_cpu_enabled()
    return torch.is_autocast_enabled(*[device] * _AUTOCAST_TAKES_DEVICE)


class ResidualDepthwiseConv(nn.Module):
    """Adds a depthwise 3x3 convolution to its input. `(B, H, W, C)` to the same.

    In float32 the input is added by the kernel, in its middle, which saves a pass over the map. In
    half precision, that would round kernel and input together.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.conv = make_depthwise(dim, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight, x = self.conv.weight, x.permute(0, 3, 1, 2)
        if weight.dtype != torch.float32 or _is_autocast(x.device.type) or is_observed(self):
            return (x + self.conv(x)).permute(0, 2, 3, 1)
        kernel = weight + F.pad(weight.new_ones(1, 1, 1, 1), (1, 1, 1, 1))
        x = F.conv2d(x, kernel, self.conv.bias, padding=1, groups=self.conv.groups)
        return x.permute(0, 2, 3, 1)


class _MapNorm(nn.Module):
    """LayerNorm of each token, named `norm` as released."""

    def __init__(self, dim: int):
        super().__init__()
        self.norm = nn.LayerNorm(dim, eps=1e-6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x)


class _Convolutions(nn.Module):
    """A map `(B, H, W, C)` through layers that take `(B, C, H, W)`."""

    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.proj = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.proj(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def _make_stem(in_channels: int, dim: int) -> nn.Module:
    """Four convolutions to a quarter of the image's size, each with GELU, then BatchNorm."""
    layers: list[nn.Module] = []
    for width, stride in ((dim // 2, 2), (dim // 2, 1), (dim, 2), (dim, 1)):
        layers += [nn.Conv2d(in_channels, width, 3, stride, 1), nn.GELU(), nn.BatchNorm2d(width)]
        in_channels = width
    return _Convolutions(*layers)


def _make_downsampling(in_channels: int, dim: int) -> nn.Module:
    """A convolution to half the map's size, with BatchNorm."""
    return _Convolutions(nn.Conv2d(in_channels, dim, 3, 2, 1), nn.BatchNorm2d(dim))


class ConvFfn(nn.Module):
    """An MLP whose hidden map gets a depthwise 3x3 convolution. `(B, H, W, dim)` to the same.

    Args:
        hidden_dim: Channels of the hidden map.
        has_conv: False makes it a plain MLP.
        recompute: Saves memory in training: the hidden map is kept once, before GELU, and not
            three times.
    """

    def __init__(self, dim: int, hidden_dim: int, has_conv: bool = True, recompute: bool = True):
        super().__init__()
        self.recompute = recompute
        self.fc1 = PointwiseConv(dim, hidden_dim)
        self.conv = ResidualDepthwiseConv(hidden_dim) if has_conv else nn.Identity()
        self.fc2 = PointwiseConv(hidden_dim, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return finish_recomputed(self, self.fc1(x))

    def finish(self, hidden: torch.Tensor) -> torch.Tensor:
        """What follows the first layer."""
        return self.fc2(self.conv(gelu(hidden, self)))


class SuperTokenBlock(nn.Module):
    """A position encoding, STA and ConvFFN, each added to its input. `(B, H, W, dim)` to the same.

    Args:
        num_heads: Those of STA, which divide `dim`.
        grid: Side of a super token's cell, see `SuperTokenAttention`.
        hidden_dim: Channels of ConvFFN's hidden map.
        layer_scale: Initial value of the factors of both branches, one a channel; 0 has none.
        drop_path: Probability of dropping each of the two branches, drawn once for each.
        has_convs: False makes it STA and a plain MLP.
        recompute_mlp: See `ConvFfn`.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        grid: int,
        hidden_dim: int,
        layer_scale: float,
        drop_path: float,
        has_convs: bool = True,
        recompute_mlp: bool = True,
    ):
        super().__init__()
        self.pos_embed = ResidualDepthwiseConv(dim) if has_convs else nn.Identity()
        self.norm1 = _MapNorm(dim)
        self.attn = SuperTokenAttention(dim, num_heads, grid)
        self.norm2 = nn.BatchNorm2d(dim)
        self.mlp2 = ConvFfn(dim, hidden_dim, has_convs, recompute_mlp)
        self.drop_path = DropPath(drop_path)
        self.is_scaled = layer_scale > 0
        if self.is_scaled:
            self.gamma_1 = nn.Parameter(torch.full((1, dim, 1, 1), layer_scale))
            self.gamma_2 = nn.Parameter(torch.full((1, dim, 1, 1), layer_scale))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pos_embed(x)
        branch = self.attn(self.norm1(x))
        if self.is_scaled:
            branch = branch * self.gamma_1.flatten()
        x = x + self.drop_path(branch)
        branch = self.mlp2(self.norm2(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
        if self.is_scaled:
            branch = branch * self.gamma_2.flatten()
        return x + self.drop_path(branch)


class _Stage(nn.Module):
    """The blocks of a stage and, unless it is the last one, the convolution to the next."""

    def __init__(self, blocks: Sequence[nn.Module], downsample: nn.Module | None):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = downsample


# Supplementary Table I, and layer scales as released.
_SMALL = dict(
    embed_dims=(64, 128, 320, 512),
    depths=(3, 5, 9, 3),
    num_heads=(1, 2, 5, 8),
    mlp_ratios=(4, 4, 4, 4),
    grid_sizes=(8, 4, 1, 1),
    layer_scales=(0.0, 0.0, 0.0, 0.0),
)


@MODELS.register_module()
class STViT(Backbone):
    """STViT: convolutions, and attention between super tokens.

    Maps images `(B, in_channels, H, W)` to one map `(B, C_i, H_i, W_i)` for each of
    `out_indices`, with strides 4, 8, 16 and 32; sizes that a stride doesn't divide are ceiled. Each
    map is that after its stage's last block; as released, there is no norm.

    Args:
        arch: 'small', 'base', 'large'; or a dict with one value per stage in each entry:
            `embed_dims`, `depths`, `num_heads`, `mlp_ratios`, `grid_sizes`, the sides of the
            super tokens' cells; and, optionally, `layer_scales`, initial values of the factors of a
            block's branches, 0 for none, and `patterns`, which the blocks of a stage repeat: 'S'
            is the block, 'T' lacks its convolutions. Where the first is 'T', the map starts with
            patches of 4x4 pixels, as in the supplement's Table II.
        in_channels: Channels of the images.
        out_indices: Stages to return, ascending, from 0; all by default. Later stages are not
            built.
        drop_path_rate: Drop path of the last block; it grows linearly from 0 over the blocks.
        frozen_stages: Index of the last frozen stage; -1 trains all. 0 is what mmdet's Swin calls
            1. Frozen stages stay in evaluation mode, BatchNorm's statistics too.
        with_cp: Recomputes each block in the backward pass: less memory, more time.
        recompute_mlp: Recomputes the cheap part of each ConvFFN in the backward pass; False uses
            more memory.
        init_cfg: mmengine's, e.g. `dict(type='Pretrained', checkpoint=...)`. None keeps the
            released code's random initialisation, which is torch's.

    Attributes:
        out_channels: Channels of the returned maps.

    Raises:
        ValueError: An argument is invalid.

    >>> backbone = STViT('small', out_indices=(2, 3))
    >>> [tuple(level.shape) for level in backbone(torch.rand(1, 3, 64, 96))]
    [(1, 320, 4, 6), (1, 512, 2, 3)]
    """

    title = 'STViT'
    config_name = 'stvit'
    archs = dict(
        small=_SMALL,
        base=dict(
            _SMALL,
            embed_dims=(96, 192, 384, 512),
            depths=(4, 6, 14, 6),
            num_heads=(2, 3, 6, 8),
            layer_scales=(0.0, 0.0, 1e-6, 1e-6),
        ),
        large=dict(
            _SMALL,
            embed_dims=(96, 192, 448, 640),
            depths=(4, 7, 19, 8),
            num_heads=(2, 3, 7, 10),
            layer_scales=(0.0, 0.0, 1e-6, 1e-6),
        ),
    )
    ablations = dict(small_isotropic=dict(_SMALL, patterns=('T', 'T', 'T', 'T')))
    pattern = 'S'
    layouts = (
        Layout(
            'released',
            "released: the authors' and twins_mm's names",
            ('layers.0.blocks.0.attn.stoken_refine.qkv.weight',),
            {},
            constants=('.fold.weights', '.unfold.weights'),
        ),
    )
    block_prefix = 'layers.{}.blocks.{}.'

    def __init__(
        self,
        arch: str | Arch = 'small',
        *,
        in_channels: int = 3,
        out_indices: Sequence[int] | None = None,
        drop_path_rate: float = 0.1,
        frozen_stages: int = -1,
        with_cp: bool = False,
        recompute_mlp: bool = True,
        init_cfg: dict | None = None,
    ):
        arch = self.find_arch(arch)
        check_arch(arch, _FIELDS, 'layer_scales', 'patterns')
        if not are_patterns(arch.get('patterns', self.pattern), 'ST'):
            raise ValueError(
                f'arch: one of patterns={arch["patterns"]!r} is empty or has letters '
                'other than S and T'
            )
        stages = self.blocks_of(arch)
        super().__init__(arch, out_indices, drop_path_rate, frozen_stages, with_cp, init_cfg)
        dims, drop_paths = arch['embed_dims'], iter(self._drop_paths)
        scales = arch.get('layer_scales', [0.0] * len(dims))
        self.patch_embed = (
            _make_stem(in_channels, dims[0])
            if stages[0][0] == 'S'
            else PatchEmbed(in_channels, dims[0], 4, pad=True)
        )
        self.layers = nn.ModuleList()
        last = self.out_indices[-1]
        for stage in range(last + 1):
            blocks = [
                SuperTokenBlock(
                    dims[stage],
                    arch['num_heads'][stage],
                    arch['grid_sizes'][stage],
                    int(dims[stage] * arch['mlp_ratios'][stage]),
                    scales[stage],
                    next(drop_paths),
                    has_convs=kind == 'S',
                    recompute_mlp=recompute_mlp,
                )
                for kind in stages[stage]
            ]
            self.layers.append(
                _Stage(
                    blocks,
                    _make_downsampling(dims[stage], dims[stage + 1]) if stage < last else None,
                )
            )
        # What makes a stage's first map is frozen with it.
        first = [self.patch_embed, *(stage.downsample for stage in self.layers)]
        self._freeze([*first[: frozen_stages + 1], *self.stages[: frozen_stages + 1]])

    @property
    def stages(self) -> list[nn.ModuleList]:
        return [stage.blocks for stage in self.layers]

    @classmethod
    def kind_of(cls, block: str, weights: Weights) -> str:
        if f'{block}attn.stoken_refine.qkv.weight' not in weights:
            return '?'
        return 'S' if f'{block}pos_embed.conv.weight' in weights else 'T'

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x = images.contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1)
        x = self.patch_embed(x)
        pyramid = []
        for index, stage in enumerate(self.layers):
            for block in stage.blocks:
                x = self._run(block, x)
            if index in self.out_indices:
                pyramid.append(to_nchw(x))
            if stage.downsample:
                x = stage.downsample(x)
        return tuple(pyramid)
