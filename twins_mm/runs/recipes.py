"""The paper's recipe for a run, and where the run differs from it."""
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.registry import PARAM_SCHEDULERS

# What decides which model comes out of a run.
_PARTS = ('model', 'train_dataloader', 'val_dataloader', 'val_evaluator', 'optim_wrapper',
          'param_scheduler', 'train_cfg', 'auto_scale_lr', 'custom_hooks', 'load_from')
# In these, what doesn't: where data is and how fast it comes, memory, validation and the seed. A
# batch is compared as a whole (`Run.batch`), however it is divided.
_NEUTRAL = {'data_root', 'ann_file', 'data_prefix', 'backend_args', 'num_workers',
            'persistent_workers', 'pin_memory', 'prefetch_factor', 'checkpoint', 'with_cp',
            'val_begin', 'val_interval', 'seed', 'batch_size', 'accumulative_counts', 'enable'}
# They make a resumed run the same as one without a break.
_NEUTRAL_HOOKS = {'StepSeedHook', 'CheckpointFitHook'}
_ABSENT = '-'


class Difference(NamedTuple):
    """A key whose values differ; '-' where there is none."""

    key: str
    run: Any
    recipe: Any


@dataclass
class Recipe:
    """A config of this repository that a run is compared with."""

    path: Path
    cfg: Config
    differences: list[Difference]

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def batch(self) -> int:
        return self.cfg.auto_scale_lr.base_batch_size

    @property
    def has_other_classes(self) -> bool:
        """Whether the run learns other classes than the recipe does."""
        return any(re.search(r'\b(num_classes|metainfo)\b', difference.key)
                   for difference in self.differences)


def find_recipe(name: str, cfg: Config, configs: Path) -> Recipe | None:
    """The recipe in `configs` and its folder `released` that a run's config is, or is nearest to.

    Of several with the run's name, and of all where none has it, the one with the fewest
    differences; None for other models than these recipes train.
    """
    paths = sorted([*configs.glob('*.py'), *configs.glob('released/*.py')])
    paths = [path for path in paths if path.stem == name] or paths
    # Reading a config takes long enough to read only those that name the types.
    words = {repr(word) for word in _kind(cfg) if word}
    recipes = [Recipe(path, recipe, find_differences(cfg, recipe))
               for path in paths if all(word in _source(path) for word in words)
               if _kind(recipe := _stretch(Config.fromfile(path), cfg)) == _kind(cfg)]
    return min(recipes, key=lambda recipe: len(recipe.differences), default=None)


def find_differences(run: Config, recipe: Config) -> list[Difference]:
    """Where two configs differ in what decides the model that is trained."""
    # A run is resumed from the checkpoint that `load_from` names.
    parts = [part for part in _PARTS if part != 'load_from' or not run.get('resume')]
    ours, theirs = ({key: value for part in parts for key, value in _flatten(cfg.get(part), part)}
                    for cfg in (run, recipe))
    return [Difference(key, ours.get(key, _ABSENT), theirs.get(key, _ABSENT))
            for key in {**theirs, **ours} if ours.get(key, _ABSENT) != theirs.get(key, _ABSENT)]


def expected_lr(cfg: Config, iterations: int, epoch_length: int | None,
                scale: float = 1.) -> list[float]:
    """The learning rate of each iteration by a config's schedule, as mmengine steps it.

    `scale` is what `--auto-scale-lr` multiplies the optimizer's learning rate by.
    """
    optimizer = torch.optim.SGD([torch.zeros(1)], scale * cfg.optim_wrapper.optimizer.lr)
    schedulers = [PARAM_SCHEDULERS.build(dict(scheduler, optimizer=optimizer))
                  for scheduler in cfg.param_scheduler]
    optimizer.step()  # for the schedulers not to warn that it never was
    rates = []
    for iteration in range(1, iterations + 1):
        rates.append(optimizer.param_groups[0]['lr'])
        for scheduler in schedulers:
            if not scheduler.by_epoch or epoch_length and iteration % epoch_length == 0:
                scheduler.step()
    return rates


def _kind(cfg: Config) -> tuple[str | None, ...]:
    """The types of the model, its head and its backbone."""
    model = cfg.get('model') or {}
    return tuple(part.get('type') for part in (
        model, model.get('decode_head') or {}, model.get('backbone') or {}))


def _stretch(recipe: Config, run: Config) -> Config:
    """The recipe as a run has to follow it that accumulates gradients.

    A schedule in iterations counts the recipe's updates of the weights. Epochs stay as they are.
    """
    count = (run.get('optim_wrapper') or {}).get('accumulative_counts', 1)
    if count > 1 and 'max_iters' in recipe.train_cfg:
        recipe.train_cfg.max_iters *= count
        for scheduler in recipe.param_scheduler:
            scheduler.end *= count
    return recipe


def _source(path: Path) -> str:
    """The text of a config and of all that it is based on."""
    text = path.read_text()
    return text + ''.join(_source(path.parent / base) for base in re.findall(r"'(\S+\.py)'", text))


def _flatten(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Each value of a nest of dicts and lists of dicts, with its path: `train_cfg.max_iters`."""
    if isinstance(node, (list, tuple)):
        node = [item for item in node if not (
            isinstance(item, dict) and item.get('type') in _NEUTRAL_HOOKS)] or None
    if isinstance(node, dict):
        items: Iterable = node.items()
    elif isinstance(node, list) and any(isinstance(item, (dict, list)) for item in node):
        items = enumerate(node)
    else:
        yield path, node
        return
    for key, value in items:
        if key not in _NEUTRAL:
            yield from _flatten(value, f'{path}.{key}')
