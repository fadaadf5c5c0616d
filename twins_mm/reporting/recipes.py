"""The paper's recipe of a run, and in what the run differs from it."""
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.registry import PARAM_SCHEDULERS

# What decides which model comes out of a run.
_PARTS = ('model', 'train_dataloader', 'val_dataloader', 'val_evaluator', 'optim_wrapper',
          'param_scheduler', 'train_cfg', 'auto_scale_lr', 'custom_hooks', 'randomness',
          'load_from')
# In these, what doesn't: where data is, and how fast it comes.
_NEUTRAL = {'data_root', 'ann_file', 'data_prefix', 'backend_args', 'num_workers',
            'persistent_workers', 'pin_memory', 'prefetch_factor', 'checkpoint'}
_ABSENT = '-'


class Difference(NamedTuple):
    """A key whose values differ; '-' where there is none."""

    key: str
    run: Any
    recipe: Any


@dataclass
class Recipe:
    """A config of this repository beside which a run is seen."""

    path: Path
    cfg: Config
    differences: list[Difference]

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def batch(self) -> int:
        return self.cfg.auto_scale_lr.base_batch_size


def find_recipe(name: str, cfg: Config, configs: Path) -> Recipe | None:
    """The recipe in `configs` and its folder `released` that a run's config is, or is nearest to.

    Of several with the run's name, and of all where none has it, the one with the fewest
    differences; None for other models than these recipes train.
    """
    paths = sorted([*configs.glob('*.py'), *configs.glob('released/*.py')])
    recipes = [Recipe(path, recipe, find_differences(cfg, recipe))
               for path in [path for path in paths if path.stem == name] or paths
               if _kind(recipe := Config.fromfile(path)) == _kind(cfg)]
    return min(recipes, key=lambda recipe: len(recipe.differences), default=None)


def find_differences(run: Config, recipe: Config) -> list[Difference]:
    """Where two configs differ in what decides the model that is trained."""
    ours, theirs = ({key: value for part in _PARTS for key, value in _flatten(cfg.get(part), part)}
                    for cfg in (run, recipe))
    return [Difference(key, ours.get(key, _ABSENT), theirs.get(key, _ABSENT))
            for key in {**theirs, **ours} if ours.get(key, _ABSENT) != theirs.get(key, _ABSENT)]


def expected_lr(cfg: Config, iterations: int, epoch_length: int | None) -> list[float]:
    """The learning rate of each iteration by a config's schedule, as mmengine steps it."""
    optimizer = torch.optim.SGD([torch.zeros(1)], cfg.optim_wrapper.optimizer.lr)
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


def _flatten(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Each value of a nest of dicts and lists of dicts, with its path: `train_cfg.max_iters`."""
    if isinstance(node, dict):
        items: Iterable = node.items()
    elif isinstance(node, (list, tuple)) and any(isinstance(item, (dict, list)) for item in node):
        items = enumerate(node)
    else:
        yield path, list(node) if isinstance(node, tuple) else node
        return
    for key, value in items:
        if key not in _NEUTRAL:
            yield from _flatten(value, f'{path}.{key}')
