"""What ends a classifier, between backbone and linear layer."""

from collections.abc import Sequence

import torch
from mmengine.registry import MODELS
from torch import nn
from torch.nn import functional as F


@MODELS.register_module()
class NormedAveragePooling(nn.Module):
    """Twins': LayerNorm of each token of the last map, then their mean: `(B, C, H, W)` to `(B, C)`.

    Takes a backbone's maps and returns a tuple, as necks do. Our backbones have no norm at this
    place, because a detector that starts from a classifier doesn't take it over.

    Args:
        in_channels: Channels of the last map.
        eps: The norm's epsilon, by default as released.

    Source: the released code; section 3 of the paper names it global average pooling.
    """

    def __init__(self, in_channels: int, eps: float = 1e-6):
        super().__init__()
        self.norm = nn.LayerNorm(in_channels, eps=eps)

    def forward(self, maps: Sequence[torch.Tensor]) -> tuple[torch.Tensor]:
        return (self.norm(maps[-1].permute(0, 2, 3, 1)).mean((1, 2)),)


@MODELS.register_module()
class ProjectedAveragePooling(nn.Module):
    """STViT's: a 1 x 1 convolution of the last map, BatchNorm, SiLU, then the tokens' mean.

    Takes a backbone's maps, the last `(B, in_channels, H, W)`, and returns a tuple of
    `(B, out_channels)`, as necks do.

    Source: supplementary section B of STViT.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.proj = nn.Conv2d(in_channels, out_channels, 1)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, maps: Sequence[torch.Tensor]) -> tuple[torch.Tensor]:
        return (F.silu(self.norm(self.proj(maps[-1]))).mean((2, 3)),)
