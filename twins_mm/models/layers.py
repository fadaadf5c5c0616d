"""The parts of a stage that are neither attention nor MLP.

Maps are `(B, H, W, C)`: LayerNorm and Linear take them directly, and the channels-last
convolutions take `permute(0, 3, 1, 2)`, which is a view.
"""

import torch
from torch import nn
from torch.nn import functional as F

from .cpu import is_observed, multiply

_AUTOCAST_TAKES_DEVICE = tuple(map(int, torch.__version__.split('.')[:2])) >= (2, 4)


def _is_autocast(device: str) -> bool:
    if device == 'meta':
        return False
    if device == 'cpu' and not _AUTOCAST_TAKES_DEVICE:
        return torch.is_autocast_cpu_enabled()
    return torch.is_autocast_enabled(*[device] * _AUTOCAST_TAKES_DEVICE)


class PatchEmbed(nn.Module):
    """Turns square patches into tokens: a convolution with kernel = stride, then LayerNorm.

    `(B, H, W, C)` becomes `(B, H // patch_size, W // patch_size, dim)`: the right and bottom
    remainder is dropped, as in the released code. `pad` completes it with zeros instead.
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


class PointwiseConv(nn.Conv2d):
    """A 1 x 1 convolution of maps `(..., C)`: a Linear whose weight has a convolution's shape."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return multiply(x, self.weight.flatten(1), self.bias)


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


class Block(nn.Module):
    """A pre-norm transformer block: attention, then MLP. `(B, H, W, C)` to the same.

    Args:
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
