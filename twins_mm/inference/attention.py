"""Where the tokens of a backbone attend, taken from a forward pass.

Points are (x, y) in pixels from the image's upper left corner; in a stage with stride s, the token
at (row, column) covers x from s * column to s * (column + 1).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from ..models.attention import LocallyGroupedAttention
from ..models.backbone import Backbone
from ..models.super_tokens import SuperTokenAttention

Point = tuple[float, float]  # x, y
Box = tuple[float, float, float, float]  # left, top, right, bottom


class AttentionMap(NamedTuple):
    """How much one token attends to each key, averaged over heads.

    Attributes:
        weights: `(rows, columns)`, one cell per key; the sum is 1, minus the padding's share.
        box: The area that the cells cover, in pixels.
    """

    weights: torch.Tensor
    box: Box


class Attention(NamedTuple):
    """An attention layer in a forward pass over one image.

    Attributes:
        module: The layer.
        size: Height and width of the map, in tokens.
        stride: Pixels that a token covers on each side.
        query, key: `(L, N, tokens, D)`; L windows, or 1 if attention is global.
        mask: The visible keys, `(L, 1, 1, tokens)`; None if all are.

    In STA, `query` and `key` are of super tokens, `size` and `stride` of the map's tokens.
    """

    module: nn.Module
    size: tuple[int, int]
    stride: int
    query: torch.Tensor
    key: torch.Tensor
    mask: torch.Tensor | None

    @property
    def is_local(self) -> bool:
        return isinstance(self.module, LocallyGroupedAttention)

    def attention_weights(self, group: int, token: int) -> torch.Tensor:
        """The weight that a token of a window, or of the map, gives to each key: `(N, keys)`."""
        query, key = self.query[group, :, token, :, None], self.key[group]
        scores = (key @ query).squeeze(-1) / key.shape[-1] ** 0.5
        if self.mask is not None:
            scores = scores.masked_fill(~self.mask[group, 0], -torch.inf)
        return scores.softmax(-1)

    def attention_at(self, x: float, y: float) -> AttentionMap:
        """Where the token at (x, y) attends; in STA, the super token whose cell it is in.

        A remainder at the right or bottom that is too small for a token belongs to the last one.
        """
        height, width = self.size
        row, column = min(int(y) // self.stride, height - 1), min(int(x) // self.stride, width - 1)
        if self.is_local:
            side = self.module.window_size
            top, left, cell = row - row % side, column - column % side, self.stride
            windows_in_row = -(-width // side)
            weights = self.attention_weights(
                row // side * windows_in_row + column // side, row % side * side + column % side
            )
            weights = weights.mean(0).view(side, side)[: height - top, : width - left]
        elif isinstance(self.module, SuperTokenAttention):
            side = self.module.grid
            top, left, cell = 0, 0, self.stride * side
            columns = -(-width // side)
            weights = self.attention_weights(0, row // side * columns + column // side).mean(0)
            weights = weights.view(-1, columns)
        else:
            side = self.module.sr_ratio
            top, left, cell = 0, 0, self.stride * side
            weights = (
                self.attention_weights(0, row * width + column).mean(0).view(height // side, -1)
            )
        top, left = top * self.stride, left * self.stride
        rows, columns = weights.shape
        return AttentionMap(weights, (left, top, left + columns * cell, top + rows * cell))


class Stage(NamedTuple):
    """A stage in a forward pass over one image: its map `(C, H, W)` and its attentions."""

    level: torch.Tensor
    stride: int
    attentions: list[Attention]

    def last(self, is_local: bool) -> Attention | None:
        """The stage's last LSA or GSA, or None."""
        return next(
            (layer for layer in reversed(self.attentions) if layer.is_local == is_local), None
        )


class _Recorder(TorchFunctionMode):
    """Records queries, keys and masks, because the fused kernel never returns weights."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple] = []

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        if func is F.scaled_dot_product_attention:
            query, key, _, mask = (*args, None)[:4]
            self.calls.append((query, key, mask))
        return func(*args, **(kwargs or {}))


@torch.no_grad()
def trace_attention(backbone: Backbone, image: torch.Tensor) -> list[Stage]:
    """Runs a backbone that returns all its stages on one image `(1, C, H, W)`."""
    with _Recorder() as recorder:
        pyramid = backbone(image)
    calls = iter(recorder.calls)
    stages = []
    for index, (blocks, level) in enumerate(zip(backbone.stages, pyramid, strict=True)):
        stride = 4 * 2**index
        attentions = [
            Attention(block.attn, level.shape[2:], stride, *next(calls)) for block in blocks
        ]
        stages.append(Stage(level[0], stride, attentions))
    return stages
