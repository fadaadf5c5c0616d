"""The contract of a family of backbones, and what all of them have in common."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModule, PretrainedInit, initialize
from mmengine.registry import WEIGHT_INITIALIZERS
from torch import nn
from torch.utils.checkpoint import checkpoint

from .published_weights import Layout, Weights, translate_, translate_classifier_

# An architecture: in each entry, one value per stage.
Arch = Mapping[str, tuple]
# By the name that their class is registered under.
FAMILIES: dict[str, type['Backbone']] = {}


class Backbone(BaseModule):
    """The base class of all backbones: maps images to one map for each of `out_indices`.

    A subclass that has `archs` is a family. What others know about it are its class attributes:

        title: Its name, such as 'Twins-SVT'.
        config_name: In the names of configs: 'svt' in `configs/_base_/backbones/svt_s.py`.
        archs: Its architectures by size: what the class takes as `arch`.
        ablations: Others that it takes by name.
        pattern: What each stage's blocks repeat, as letters, where an arch has no `patterns`.
        layouts: The layouts that its weights are published in, ours first.
        block_prefix: What the names of a block's weights begin with; stage and block to be filled
            in.

    Args:
        arch: One value per stage in each entry, among them `embed_dims` and `depths`.
        out_indices: Stages to return, ascending, from 0; all by default. Later stages are not
            built.
        drop_path_rate: Drop path of the last block; it grows linearly from 0 over the blocks.
        frozen_stages: Index of the last frozen stage; -1 trains all. 0 is what mmdet's Swin calls
            1.
        with_cp: Recomputes each block in the backward pass: less memory, more time.
        init_cfg: mmengine's, e.g. `dict(type='Pretrained', checkpoint=...)`; see `init_weights`.

    Attributes:
        out_channels: Channels of the returned maps.

    Raises:
        ValueError: An argument is invalid.
    """

    title: str
    config_name: str
    archs: Mapping[str, Arch]
    ablations: Mapping[str, Arch] = {}
    pattern: str
    layouts: tuple[Layout, ...]
    block_prefix = 'blocks.{}.{}.'

    init_cfg: Any

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if 'archs' in vars(cls):
            FAMILIES[cls.__name__] = cls

    def __init__(
        self,
        arch: Arch,
        out_indices: Sequence[int] | None,
        drop_path_rate: float,
        frozen_stages: int,
        with_cp: bool,
        init_cfg: dict | None,
    ):
        super().__init__(init_cfg)
        self.out_indices = _check_out_indices(out_indices, len(arch['depths']))
        self.out_channels = tuple(arch['embed_dims'][index] for index in self.out_indices)
        if not 0 <= drop_path_rate < 1:
            raise ValueError(f'drop_path_rate={drop_path_rate}: pass a value from 0 to below 1')
        if frozen_stages not in range(-1, self.out_indices[-1] + 1):
            raise ValueError(
                f'frozen_stages={frozen_stages}: pass -1 to train all, or the index '
                f'of the last stage to freeze, up to {self.out_indices[-1]}'
            )
        self.with_cp = with_cp
        self._drop_paths = torch.linspace(
            0, drop_path_rate, sum(arch['depths']), device='cpu'
        ).tolist()
        self._frozen: list[nn.Module] = []

    @abstractmethod
    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Maps images `(B, in_channels, H, W)` to the maps of `out_indices`.

        Each is a contiguous `(B, C, H_i, W_i)`, with strides 4, 8, 16 and 32; see `to_nchw`.
        """

    @property
    @abstractmethod
    def stages(self) -> Sequence[nn.ModuleList]:
        """The blocks of each stage."""

    @classmethod
    @abstractmethod
    def kind_of(cls, block: str, weights: Weights) -> str:
        """The letter of the block whose names begin with `block`; '?' if it is another network's.

        `weights` are the backbone's, under our names.
        """

    @classmethod
    def named_archs(cls) -> dict[str, Arch]:
        """Every architecture that the class takes by name."""
        return {**cls.archs, **cls.ablations}

    @classmethod
    def blocks_of(cls, arch: Arch) -> tuple[str, ...]:
        """The blocks of each stage as letters, such as 'LGLG'."""
        patterns = arch.get('patterns', [cls.pattern] * len(arch['depths']))
        return tuple((pattern * depth)[:depth] for pattern, depth in zip(patterns, arch['depths']))

    @classmethod
    def find_arch(cls, arch: str | Arch) -> Arch:
        """The architecture that a name or a dict stands for.

        Raises:
            ValueError: The family has no architecture of this name.
        """
        if not isinstance(arch, str):
            return arch
        named = cls.named_archs()
        if arch not in named:
            raise ValueError(
                f'arch={arch!r} is unknown; pass one of {", ".join(named)}, '
                f'or a dict of {", ".join(next(iter(named.values())))}'
            )
        return named[arch]

    def _freeze(self, modules: Iterable[nn.Module]) -> None:
        """Keeps modules, which are no longer trained, in evaluation mode."""
        self._frozen = list(modules)
        for module in self._frozen:
            module.requires_grad_(False)

    def train(self, mode: bool = True) -> 'Backbone':
        """Sets the mode, except for frozen stages, which stay in evaluation mode."""
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self

    def init_weights(self) -> None:
        """Initialises by `init_cfg`, and last by the file, URL or hub address of its `Pretrained`.

        That may be in any published layout. Where `twins_mm.checkpoints` is imported, which
        registers `PretrainedBackbone`, it may also be in safetensors format, and is refused unless
        it is safe and fits.
        """
        given = self.init_cfg
        inits = [given] if isinstance(given, dict) else list(given or ())
        pretrained = [init for init in inits if init['type'] in ('Pretrained', PretrainedInit)]
        is_first = not self.is_init
        self.init_cfg = [init for init in inits if init not in pretrained]
        super().init_weights()
        self.init_cfg = given
        if is_first and pretrained:
            ours = 'PretrainedBackbone'
            kind = ours if ours in WEIGHT_INITIALIZERS else 'Pretrained'
            initialize(self, [dict(init, type=kind) for init in pretrained])

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        translate_(state_dict, prefix, self.state_dict(), self.layouts)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _checkpoint_filter(self, state_dict: dict, prefix: str, *args: Any) -> None:
        # mmpretrain's ImageClassifier calls it for its own state dict, before its modules load.
        translate_classifier_(state_dict, prefix, self.layouts)

    def _run(self, block: nn.Module, x: torch.Tensor, *args: Any) -> torch.Tensor:
        """Runs a block, which is recomputed in the backward pass if so configured."""
        recompute = self.with_cp and x.requires_grad
        return checkpoint(block, x, *args, use_reentrant=False) if recompute else block(x, *args)


def to_nchw(x: torch.Tensor) -> torch.Tensor:
    """A map `(B, H, W, C)` as it leaves a backbone: a contiguous `(B, C, H, W)`.

    mmcv's operators, such as RoIAlign, ignore strides and read memory as (B, C, H, W), so detectors
    need this copy. Flattening first makes the gradient contiguous; with other strides training is a
    tenth slower on a CPU, and torch.compile's aot_eager fails in dropout.
    """
    return x.flatten(1).view_as(x).permute(0, 3, 1, 2).contiguous()


def check_arch(arch: Arch, fields: Sequence[str], *optional: str) -> None:
    """Raises a ValueError unless the dict has these fields, with one value per stage in each."""
    missing, unknown = set(fields) - arch.keys(), arch.keys() - {*fields, *optional}
    if missing or unknown:
        raise ValueError(
            f'arch must be a dict of {", ".join(fields)} and, optionally, '
            f'{", ".join(optional)}; missing: {sorted(missing)}, '
            f'unknown: {sorted(unknown)}'
        )
    if (
        not all(isinstance(values, Sequence) for values in arch.values())
        or len(set(map(len, arch.values()))) != 1
        or min(min(arch[name]) for name in fields) < 1
    ):
        raise ValueError(f'arch needs one value of at least 1 per stage in each entry: {arch}')
    for dim, heads in zip(arch['embed_dims'], arch['num_heads']):
        if dim % heads:
            raise ValueError(f'arch: {dim} channels cannot be divided into {heads} heads')


def are_patterns(patterns: object, letters: str) -> bool:
    """Whether these are patterns of blocks, each of one or more of these letters."""
    return isinstance(patterns, Sequence) and all(
        isinstance(pattern, str) and pattern and set(pattern) <= set(letters)
        for pattern in patterns
    )


def _check_out_indices(out_indices: Sequence[int] | None, num_stages: int) -> tuple[int, ...]:
    """`out_indices` as a tuple, of all stages if None; raises a ValueError if they are invalid."""
    if out_indices is None:
        return tuple(range(num_stages))
    if (
        not isinstance(out_indices, Sequence)
        or not out_indices
        or not set(out_indices) <= set(range(num_stages))
        or sorted(set(out_indices)) != list(out_indices)
    ):
        raise ValueError(
            f'out_indices={out_indices!r}: pass ascending stage indices from '
            f'{tuple(range(num_stages))}, such as (1, 2, 3)'
        )
    return tuple(out_indices)
