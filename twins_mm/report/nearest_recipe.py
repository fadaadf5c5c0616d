"""Finds the paper's recipe for a run, and where the run differs from it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import PARAM_SCHEDULERS

from ..config import accumulative_counts, schedulers
from ..files.shipped import list_configs, paper_name

# The parts of a config that determine the trained model.
_PARTS = (
    'model',
    'train_dataloader',
    'val_dataloader',
    'val_evaluator',
    'optim_wrapper',
    'param_scheduler',
    'train_cfg',
    'auto_scale_lr',
    'custom_hooks',
    'load_from',
)
# Their keys that don't: the data's location and loading, memory, validation and the seed. Batch
# sizes are compared as a whole (`Run.batch`), however a batch is divided.
_NEUTRAL = {
    'data_root',
    'ann_file',
    'data_prefix',
    'backend_args',
    'num_workers',
    'persistent_workers',
    'pin_memory',
    'prefetch_factor',
    'checkpoint',
    'with_cp',
    'recompute_mlp',
    'val_begin',
    'val_interval',
    'seed',
    'batch_size',
    'accumulative_counts',
    'enable',
}
# These make a resumed run equal to an unbroken one.
_NEUTRAL_HOOKS = {'StepSeedHook', 'CheckpointFitHook', 'NewestCheckpointHook'}


@dataclass
class Recipe:
    """A config of this repository that a run is compared with, and their differences."""

    path: Path
    cfg: Config
    differences: list[tuple[str, Any, Any]]

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def batch(self) -> int:
        return self.cfg.auto_scale_lr.base_batch_size

    @property
    def has_other_classes(self) -> bool:
        """Whether the run learns other classes than the recipe."""
        return any(re.search(r'\b(num_classes|metainfo)\b', key) for key, *_ in self.differences)


def find_recipe(name: str, cfg: Config, configs: Path) -> Recipe | None:
    """Finds the recipe in `configs` that is closest to a run's config.

    Compares with the recipes of the run's name, the paper's and the released code's, or with all if
    there are none, and returns the one with the fewest differences; None if no recipe trains this
    kind of model.
    """
    paths = list_configs(configs)
    paths = [path for path in paths if paper_name(path.stem) == paper_name(name)] or paths
    # Parsing configs is slow, so only those whose text contains the types are parsed.
    words = {repr(word) for word in _kind(cfg) if word}
    recipes = [
        Recipe(path, recipe, find_differences(cfg, recipe))
        for path in paths
        if all(word in _source(path) for word in words)
        if _kind(recipe := _stretch(Config.fromfile(path), cfg)) == _kind(cfg)
    ]
    return min(recipes, key=lambda recipe: len(recipe.differences), default=None)


def find_differences(run: Config, recipe: Config) -> list[tuple[str, Any, Any]]:
    """Keys that affect the trained model and differ, with both values; '-' is a missing one."""
    # For a resumed run, `load_from` is the checkpoint to resume from.
    parts = [part for part in _PARTS if part != 'load_from' or not run.get('resume')]
    ours, theirs = (
        {key: value for part in parts for key, value in _flatten(cfg.get(part), part)}
        for cfg in (run, recipe)
    )
    pairs = {key: (ours.get(key, '-'), theirs.get(key, '-')) for key in {**theirs, **ours}}
    return [(key, mine, other) for key, (mine, other) in pairs.items() if mine != other]


def expected_lr(
    cfg: Config, iterations: int, epoch_length: int | None, scale: float = 1.0
) -> list[float]:
    """The learning rate at each iteration of a config's schedule, as mmengine steps it.

    `scale` is the factor by which `--auto-scale-lr` multiplies the optimizer's learning rate.
    """
    optimizer = torch.optim.SGD([torch.zeros(1)], scale * cfg.optim_wrapper.optimizer.lr)
    built = [
        PARAM_SCHEDULERS.build(dict(scheduler, optimizer=optimizer))
        for scheduler in schedulers(cfg)
    ]
    optimizer.step()  # otherwise the schedulers warn about their order
    rates = []
    for iteration in range(1, iterations + 1):
        rates.append(optimizer.param_groups[0]['lr'])
        for scheduler in built:
            if not scheduler.by_epoch or epoch_length and iteration % epoch_length == 0:
                scheduler.step()
    return rates


def _kind(cfg: Config) -> tuple[str | None, ...]:
    """The types of the model, its head and its backbone."""
    model = cfg.get('model') or {}
    parts = model, model.get('decode_head'), model.get('backbone')
    # A cascade has a list of heads.
    return tuple(part.get('type') if isinstance(part, dict) else None for part in parts)


def _stretch(recipe: Config, run: Config) -> Config:
    """Lengthens a recipe for a run that accumulates gradients.

    Schedules in iterations count the recipe's weight updates. Epochs stay the same.
    """
    count = accumulative_counts(run)
    if count > 1 and 'max_iters' in recipe.train_cfg:
        recipe.train_cfg.max_iters *= count
        for scheduler in schedulers(recipe):
            scheduler['end'] *= count
    return recipe


def _source(path: Path) -> str:
    """The text of a config and of all its bases."""
    text = path.read_text()
    return text + ''.join(_source(path.parent / base) for base in re.findall(r"'(\S+\.py)'", text))


def _flatten(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yields each value in nested dicts and lists, with its path, e.g. `train_cfg.max_iters`."""
    if isinstance(node, (list, tuple)):
        node = [
            item
            for item in node
            if not (isinstance(item, dict) and item.get('type') in _NEUTRAL_HOOKS)
        ] or None
    if isinstance(node, list) and any(isinstance(item, (dict, list)) for item in node):
        node = dict(enumerate(node))
    if not isinstance(node, dict):
        yield path, node
        return
    for key, value in node.items():
        if key not in _NEUTRAL:
            yield from _flatten(value, f'{path}.{key}')
