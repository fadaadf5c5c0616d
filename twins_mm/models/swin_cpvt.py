"""Swin with conditional position encodings, of the paper's Table 7; importing it imports mmdet."""

from typing import Any

import torch
from mmdet.models.backbones.swin import SwinTransformer, WindowMSA, swin_converter
from mmengine.logging import print_log
from mmengine.runner import CheckpointLoader
from torch import nn
from torch.nn import functional as F

from ..errors import UserError
from .layers import PositionEncodingGenerator
from .published_weights import list_differences


class UnbiasedWindowMSA(nn.Module):
    """mmdet's attention in windows, with its layers, without its relative position bias.

    `(B * L, T, C)` to the same: T tokens in each of L windows an image. `mask`, `(L, T, T)`, is
    added to the logits.
    """

    def __init__(self, biased: WindowMSA):
        super().__init__()
        self.num_heads, self.scale = biased.num_heads, biased.scale
        self.qkv, self.attn_drop = biased.qkv, biased.attn_drop
        self.proj, self.proj_drop = biased.proj, biased.proj_drop

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        if mask is not None:
            mask = mask.to(q.dtype).repeat(len(x) // len(mask), 1, 1).unsqueeze(1)
        drop = self.attn_drop.p if self.training else 0.0
        x = F.scaled_dot_product_attention(q, k, v, mask, drop, scale=self.scale)
        return self.proj_drop(self.proj(x.transpose(1, 2).flatten(2)))


class SwinCPVT(SwinTransformer):
    """mmdet's Swin with a PEG after the first block of each stage, instead of its position bias.

    Args:
        **kwargs: Those of mmdet's `SwinTransformer`. Its published weights fit, without their bias
            tables. PEGs start as torch's convolutions do: no code of Table 7's model is released.

    Raises:
        UserError: The weights of `init_cfg` don't fit; none were loaded.

    Source: section 4.4 and Table 7.
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        for stage, dim in zip(self.stages, self.num_features):
            for block in stage.blocks:
                block.attn.w_msa = UnbiasedWindowMSA(block.attn.w_msa)
            stage.blocks[0].pos_block = PositionEncodingGenerator(dim)
            stage.blocks[0].register_forward_hook(_encode_positions)

    def init_weights(self) -> None:
        if self.init_cfg is None:
            super().init_weights()
            return
        # mmdet's own compares the tables of a file with the model's.
        loaded = CheckpointLoader.load_checkpoint(self.init_cfg['checkpoint'], 'cpu')
        weights = loaded.get('state_dict') or loaded.get('model') or loaded
        if self.convert_weights:
            weights = swin_converter(weights)
        weights = {name.removeprefix('backbone.'): value for name, value in weights.items()}
        ours = self.state_dict()
        given = {name: weights[name] for name in weights.keys() & ours}
        # Detectors and classifiers have different norms after stages.
        if differences := list_differences(
            given,
            {
                name: value
                for name, value in ours.items()
                if name in given or not ('.pos_block.' in name or name.startswith('norm'))
            },
        ):
            raise UserError(
                'The weights do not fit Swin, and none were loaded: ' + '; '.join(differences)
            )
        self.load_state_dict(given, strict=False)
        tables = sum(name.endswith('relative_position_bias_table') for name in weights)
        if tables:
            print_log(
                f'Swin weights: {tables} tables of relative position bias left out, position '
                'encodings newly initialised',
                logger='current',
            )

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(super().forward(images))


def _encode_positions(block: nn.Module, args: tuple, x: torch.Tensor) -> torch.Tensor:
    """The first block's output with position encodings; it finds them in a copied block too."""
    _, hw_shape = args
    return block.pos_block(x.unflatten(1, hw_shape)).flatten(1, 2)
