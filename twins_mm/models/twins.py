"""Twins-PCPVT and Twins-SVT as feature pyramids for dense prediction.

Source: Chu et al., "Twins: Revisiting the Design of Spatial Attention in Vision Transformers",
NeurIPS 2021, arXiv 2104.13840; where the paper is silent, its authors' released code.
"""

import math
from collections.abc import Sequence

import torch
from mmengine.registry import MODELS
from torch import nn

from .attention import GlobalSubsampledAttention, LocallyGroupedAttention
from .backbone import Arch, Backbone, are_patterns, check_arch, to_nchw
from .layers import Block, Mlp, PatchEmbed, PositionEncodingGenerator
from .published_weights import Layout, Weights

# Epsilon of block and stage norms; whether images and maps are padded to whole patches.
NUMERICS = dict(released=(1e-6, False), mmseg=(1e-5, True))


def _check_arch(arch: Arch, pattern: str) -> None:
    """Raises a ValueError unless the architecture is valid; `pattern` is the family's."""
    patterns = arch.get('patterns', pattern)
    if not are_patterns(patterns, 'LG'):
        raise ValueError(
            'arch needs patterns of L for LSA and G for GSA, such as '
            f"('LG', 'LG', 'LLG', 'G'): {patterns!r}"
        )
    kinds = ''.join(patterns)
    fields = [
        'embed_dims',
        'depths',
        'num_heads',
        'mlp_ratios',
        *['sr_ratios'] * ('G' in kinds),
        *['window_sizes'] * ('L' in kinds),
    ]
    check_arch(arch, fields, 'patterns')


def _init_weights(module: nn.Module) -> None:
    """The released initialisation: Linear N(0, 0.02), truncated; Conv2d N(0, sqrt(2 / fan-out))."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
    elif isinstance(module, nn.Conv2d):
        fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
    if isinstance(module, (nn.Linear, nn.Conv2d)):
        nn.init.zeros_(module.bias)


class Twins(Backbone):
    """The base class of both families; build `TwinsPCPVT` or `TwinsSVT` instead.

    Maps images `(B, in_channels, H, W)` to one map `(B, C_i, H_i, W_i)` for each of
    `out_indices`, with strides 4, 8, 16 and 32; sizes that a stride doesn't divide are floored,
    or ceiled if `numerics` is 'mmseg'.

    Args:
        arch: A name in the family, or a dict that defines one, with one value per stage in each
            entry: `embed_dims`, `depths`, `num_heads`, `mlp_ratios`; `window_sizes` if there is LSA
            and `sr_ratios` if there is GSA; and, if they are not the family's, `patterns`, which
            the blocks of a stage repeat: 'L' is LSA, 'G' is GSA, 'LLG' is two of LSA, then GSA.
        in_channels: Channels of the images.
        out_indices: Stages to return, ascending, from 0; all by default. Later stages are not
            built.
        drop_path_rate: Drop path of the last block; it grows linearly from 0 over the blocks.
        drop_rate: Dropout on tokens, in the MLPs and after attention.
        attn_drop_rate: Dropout on attention weights.
        window_padding: How LSA treats padding, see `LocallyGroupedAttention`.
        sub_sampling: What makes the keys of GSA, see `GlobalSubsampledAttention`.
        norm_after_stage: Ends each stage with a LayerNorm, whose output is returned and passed to
            the next stage.
        numerics: 'released', as in the original code; or 'mmseg', for weights that mmseg trained:
            every norm has epsilon 1e-5, and zeros complete the patches of sizes that a stride
            doesn't divide. With 'released', block and stage norms have 1e-6, those of patch
            embedding and sub-sampling 1e-5.
        frozen_stages: Index of the last frozen stage; -1 trains all. 0 is what mmdet's Swin calls
            1.
        with_cp: Recomputes each block in the backward pass: less memory, more time.
        recompute_mlp: Recomputes the cheap part of each MLP in the backward pass, see `Mlp`; False
            uses more memory.
        init_cfg: mmengine's, e.g. `dict(type='Pretrained', checkpoint=...)`. None keeps the
            released code's random initialisation, except for the first convolution's bias.

    Attributes:
        out_channels: Channels of the returned maps.

    Raises:
        ValueError: An argument is invalid; or, in `forward`, an image is too small.
    """

    def __init__(
        self,
        arch: str | Arch,
        *,
        in_channels: int,
        out_indices: Sequence[int] | None,
        drop_path_rate: float,
        drop_rate: float,
        attn_drop_rate: float,
        window_padding: str,
        sub_sampling: str,
        norm_after_stage: bool,
        numerics: str,
        frozen_stages: int,
        with_cp: bool,
        recompute_mlp: bool,
        init_cfg: dict | None,
    ):
        arch = self.find_arch(arch)
        _check_arch(arch, self.pattern)
        super().__init__(arch, out_indices, drop_path_rate, frozen_stages, with_cp, init_cfg)
        if numerics not in NUMERICS:
            raise ValueError(f'numerics={numerics!r} is unknown; pass one of {", ".join(NUMERICS)}')
        self.numerics = numerics
        norm_eps, pad_patches = NUMERICS[numerics]

        drops = dict(attn_drop=attn_drop_rate, proj_drop=drop_rate)
        drop_paths = iter(self._drop_paths)
        self.token_drop = nn.Dropout(drop_rate)
        self.patch_embeds = nn.ModuleList()
        self.blocks = nn.ModuleList()
        self.pos_block = nn.ModuleList()
        self.norm_list = nn.ModuleList()
        stages = self.blocks_of(arch)[: self.out_indices[-1] + 1]
        for stage, kinds in enumerate(stages):
            dim, heads = arch['embed_dims'][stage], arch['num_heads'][stage]
            self.patch_embeds.append(PatchEmbed(in_channels, dim, 2 if stage else 4, pad_patches))
            self.blocks.append(nn.ModuleList())
            for kind in kinds:
                if kind == 'L':
                    attention = LocallyGroupedAttention(
                        dim, heads, arch['window_sizes'][stage], window_padding, **drops
                    )
                else:
                    attention = GlobalSubsampledAttention(
                        dim, heads, arch['sr_ratios'][stage], sub_sampling, **drops
                    )
                mlp = Mlp(dim, int(dim * arch['mlp_ratios'][stage]), drop_rate, recompute_mlp)
                self.blocks[stage].append(Block(dim, attention, mlp, next(drop_paths), norm_eps))
            self.pos_block.append(PositionEncodingGenerator(dim))
            self.norm_list.append(
                nn.LayerNorm(dim, eps=norm_eps) if norm_after_stage else nn.Identity()
            )
            in_channels = dim
        self.apply(_init_weights)
        # For patches of zero padding, the first norms get nothing but this bias. If it started at
        # 0, as released, its gradient would be a million times all others, and clipping would
        # erase those.
        nn.init.trunc_normal_(self.patch_embeds[0].proj.bias, std=0.02)

        # Sub-sampling needs a map of at least its kernel's size.
        self._min_image_size = max(
            4 * 2**stage * (arch['sr_ratios'][stage] if 'G' in kinds else 1)
            for stage, kinds in enumerate(stages)
        )
        self._freeze(
            module
            for modules in (self.patch_embeds, self.blocks, self.pos_block, self.norm_list)
            for module in modules[: frozen_stages + 1]
        )

    @property
    def stages(self) -> nn.ModuleList:
        return self.blocks

    @classmethod
    def kind_of(cls, block: str, weights: Weights) -> str:
        if 'pos_block.0.proj.0.weight' not in weights:
            return '?'  # PVT and Swin have no position encoding generator
        parts = {part for part in ('q', 'kv', 'qkv') if f'{block}attn.{part}.weight' in weights}
        return 'L' if parts == {'qkv'} else 'G' if parts == {'q', 'kv'} else '?'

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        height, width = images.shape[2:]
        if min(height, width) < self._min_image_size:
            raise ValueError(
                f'images of {height} x {width} pixels are too small for stage '
                f'{len(self.blocks)}; pass at least {self._min_image_size} on each '
                'side, or out_indices that end at an earlier stage'
            )
        x = images.contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1)
        pyramid = []
        for stage, blocks in enumerate(self.blocks):
            x = self.token_drop(self.patch_embeds[stage](x))
            is_local = [isinstance(block.attn, LocallyGroupedAttention) for block in blocks]
            mask = blocks[is_local.index(True)].attn.make_mask(x) if any(is_local) else None
            for index, block in enumerate(blocks):
                x = self._run(block, x, mask) if is_local[index] else self._run(block, x)
                if index == 0:
                    x = self.pos_block[stage](x)
            x = self.norm_list[stage](x)
            if stage in self.out_indices:
                pyramid.append(to_nchw(x))
        return tuple(pyramid)


def _openmmlab(blocks: str) -> dict[str, str]:
    """The rows that mmseg and mmpretrain share."""
    return {
        'patch_embeds.#.proj.': 'patch_embeds.#.projection.',
        'pos_block.#.proj.0.': 'position_encodings.#.proj.',
        'blocks.#.#.mlp.fc1.': f'{blocks}.#.#.ffn.layers.0.0.',
        'blocks.#.#.mlp.fc2.': f'{blocks}.#.#.ffn.layers.1.',
        'blocks.#.#.': f'{blocks}.#.#.',
    }


_FIRST_NORM = 'patch_embeds.0.norm.weight'
# mmpretrain gives the norm after the last stage and a classifier's final norm the same name.
_LAYOUTS = (
    Layout(
        'released',
        "released: the authors', timm's and twins_mm's names",
        (_FIRST_NORM, 'blocks.0.0.norm1.weight'),
        {},
    ),
    Layout(
        'mmseg',
        "mmseg's",
        (_FIRST_NORM, 'layers.0.0.norm1.weight'),
        {
            'blocks.#.#.gsa.qkv.': 'layers.#.#.attn.attn.in_proj_',
            'blocks.#.#.gsa.proj.': 'layers.#.#.attn.attn.out_proj.',
            **_openmmlab('layers'),
        },
        fused_gsa=True,
    ),
    Layout(
        'mmpretrain',
        "mmpretrain's",
        (_FIRST_NORM, 'norm_after_stage0.weight'),
        {'norm_list.#.': 'norm_after_stage#.', **_openmmlab('stages')},
    ),
    Layout(
        'mmpretrain',
        "mmpretrain's",
        (_FIRST_NORM, 'stages.0.0.norm1.weight'),
        {'norm.': 'norm_after_stage3.', **_openmmlab('stages')},
    ),
)


# Architectures: Tables 9 and 10 with the released code's corrections (depth 4 in PCPVT's second
# stage) and its head counts.
_PCPVT_SMALL = dict(
    embed_dims=(64, 128, 320, 512),
    depths=(3, 4, 6, 3),
    num_heads=(1, 2, 5, 8),
    mlp_ratios=(8, 8, 4, 4),
    sr_ratios=(8, 4, 2, 1),
)


@MODELS.register_module()
class TwinsPCPVT(Twins):
    """Twins-PCPVT: PVT with conditional position encodings; every block is GSA.

    Args:
        arch: 'small', 'base', 'large', or a dict of `embed_dims`, `depths`, `num_heads`,
            `mlp_ratios` and `sr_ratios`, see `Twins`.
        norm_after_stage: False by default, as released.

    The other arguments are those of `Twins`.

    Source: section 3.1 and Table 9.

    >>> backbone = TwinsPCPVT('small')
    >>> [tuple(level.shape) for level in backbone(torch.rand(1, 3, 64, 96))]
    [(1, 64, 16, 24), (1, 128, 8, 12), (1, 320, 4, 6), (1, 512, 2, 3)]
    """

    title = 'Twins-PCPVT'
    config_name = 'pcpvt'
    archs = dict(
        small=_PCPVT_SMALL,
        base=dict(_PCPVT_SMALL, depths=(3, 4, 18, 3)),
        large=dict(_PCPVT_SMALL, depths=(3, 8, 27, 3)),
    )
    pattern = 'G'
    layouts = _LAYOUTS

    def __init__(
        self,
        arch: str | Arch = 'small',
        *,
        in_channels: int = 3,
        out_indices: Sequence[int] | None = None,
        drop_path_rate: float = 0.2,
        drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        sub_sampling: str = 'convolution',
        norm_after_stage: bool = False,
        numerics: str = 'released',
        frozen_stages: int = -1,
        with_cp: bool = False,
        recompute_mlp: bool = True,
        init_cfg: dict | None = None,
    ):
        super().__init__(
            arch,
            in_channels=in_channels,
            out_indices=out_indices,
            drop_path_rate=drop_path_rate,
            drop_rate=drop_rate,
            attn_drop_rate=attn_drop_rate,
            window_padding='mask',
            sub_sampling=sub_sampling,
            norm_after_stage=norm_after_stage,
            numerics=numerics,
            frozen_stages=frozen_stages,
            with_cp=with_cp,
            recompute_mlp=recompute_mlp,
            init_cfg=init_cfg,
        )


_SVT_SMALL = dict(
    embed_dims=(64, 128, 256, 512),
    depths=(2, 2, 10, 4),
    num_heads=(2, 4, 8, 16),
    mlp_ratios=(4, 4, 4, 4),
    sr_ratios=(8, 4, 2, 1),
    window_sizes=(7, 7, 7, 7),
)


@MODELS.register_module()
class TwinsSVT(Twins):
    """Twins-SVT: in each stage, blocks alternate between LSA and GSA.

    Args:
        arch: 'small', 'base', 'large'; of Table 5, 'small_lll', 'small_llg' or 'small_lllg'; or a
            dict of `embed_dims`, `depths`, `num_heads`, `mlp_ratios`, `sr_ratios` and
            `window_sizes`, see `Twins`.
        window_padding: 'mask', 'zero' or 'mask_legacy', see `LocallyGroupedAttention`. None is
            'mask', or with mmseg's numerics 'mask_legacy', as in mmseg.
        norm_after_stage: True by default, as released.

    The other arguments are those of `Twins`.

    Source: section 3.2 and Table 10.

    >>> backbone = TwinsSVT('small', out_indices=(2, 3))
    >>> [tuple(level.shape) for level in backbone(torch.rand(1, 3, 64, 96))]
    [(1, 256, 4, 6), (1, 512, 2, 3)]
    """

    title = 'Twins-SVT'
    config_name = 'svt'
    archs = dict(
        small=_SVT_SMALL,
        base=dict(
            _SVT_SMALL,
            embed_dims=(96, 192, 384, 768),
            depths=(2, 2, 18, 2),
            num_heads=(3, 6, 12, 24),
        ),
        large=dict(
            _SVT_SMALL,
            embed_dims=(128, 256, 512, 1024),
            depths=(2, 2, 18, 2),
            num_heads=(4, 8, 16, 32),
        ),
    )
    # Table 5 as its parameters and FLOPs decide, see docs/model_zoo.md.
    ablations = dict(
        small_lll=dict(
            embed_dims=(64, 128, 256),
            depths=(2, 2, 10),
            num_heads=(2, 4, 8),
            mlp_ratios=(4, 4, 4),
            window_sizes=(7, 7, 7),
            patterns=('L', 'L', 'L'),
        ),
        small_llg=dict(_SVT_SMALL, patterns=('LG', 'LG', 'LLG', 'G')),
        small_lllg=dict(_SVT_SMALL, patterns=('L', 'L', 'L', 'G')),
    )
    pattern = 'LG'
    layouts = _LAYOUTS

    def __init__(
        self,
        arch: str | Arch = 'small',
        *,
        in_channels: int = 3,
        out_indices: Sequence[int] | None = None,
        drop_path_rate: float = 0.2,
        drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        window_padding: str | None = None,
        sub_sampling: str = 'convolution',
        norm_after_stage: bool = True,
        numerics: str = 'released',
        frozen_stages: int = -1,
        with_cp: bool = False,
        recompute_mlp: bool = True,
        init_cfg: dict | None = None,
    ):
        if window_padding is None:
            window_padding = 'mask_legacy' if numerics == 'mmseg' else 'mask'
        super().__init__(
            arch,
            in_channels=in_channels,
            out_indices=out_indices,
            drop_path_rate=drop_path_rate,
            drop_rate=drop_rate,
            attn_drop_rate=attn_drop_rate,
            window_padding=window_padding,
            sub_sampling=sub_sampling,
            norm_after_stage=norm_after_stage,
            numerics=numerics,
            frozen_stages=frozen_stages,
            with_cp=with_cp,
            recompute_mlp=recompute_mlp,
            init_cfg=init_cfg,
        )
