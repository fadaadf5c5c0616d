"""What is done to a config between reading it and training: nothing about toy data is here."""
import os
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from mmengine.config import Config

from .errors import UserError
from .tasks import TASKS, Task


def walk(node: Any) -> Iterator[dict]:
    """Yields every dict in a nest of dicts and lists, the outer ones first."""
    if isinstance(node, dict):
        yield node
        node = node.values()
    elif not isinstance(node, (list, tuple)):
        return
    for child in list(node):
        yield from walk(child)


def data_sets(node: Any) -> Iterator[dict]:
    """Yields the data sets of a data loader, but not those that wrap others (`RepeatDataset`)."""
    inner = node.get('dataset', node.get('datasets')) if isinstance(node, dict) else node
    if inner is None:
        yield node
    elif isinstance(inner, dict):
        yield from data_sets(inner)
    else:
        for child in inner:
            yield from data_sets(child)


def task_of(cfg: Config) -> Task:
    """The task that a config is of.

    Raises:
        UserError: It is of none that is known here.
    """
    scope = cfg.get('default_scope')
    with_mask = any(step.get('with_mask') for step in walk(cfg.get('train_dataloader')))
    found = [task for task in TASKS.values() if task.scope == scope]
    if not found:
        known = {f'{task.models} (default_scope = "{task.scope}")': None for task in TASKS.values()}
        raise UserError(f'twins_mm knows {" and ".join(known)}; this config has default_scope = '
                        f'{scope!r}')
    return next((task for task in found if task.with_mask == with_mask), found[0])


def move_data(cfg: Config, root: str) -> None:
    """Makes data loaders and evaluators look in `root` for what the config has in its `data_root`.

    Raises:
        UserError: The config has no `data_root`, or several.
    """
    parts = [key for key in cfg if key.endswith(('_dataloader', '_evaluator', '_pipeline'))]
    roots = {PurePath(node['data_root']) for node in walk([cfg[part] for part in parts])
             if node.get('data_root')}
    if cfg.get('data_root'):
        parts.append('data_root')
        roots = roots or {PurePath(cfg.data_root)}
    # Every relative path begins with the current folder, so its name can't be replaced.
    roots.discard(PurePath())
    if len(roots) != 1:
        raise UserError(
            f'--data-root replaces the one data_root of a config; this one has '
            f'{", ".join(sorted(map(str, roots))) or "none"}. Set each path by --cfg-options, '
            'as in train_dataloader.dataset.data_root=DIR')
    old, = roots
    for part in parts:
        cfg[part] = _move(cfg[part], old, root)


def _move(node: Any, old: PurePath, new: str) -> Any:
    """A copy of `node` in which the paths below `old` are below `new`."""
    if isinstance(node, str) and PurePath(node).is_relative_to(old):
        return os.path.join(new, *PurePath(node).relative_to(old).parts)
    if isinstance(node, (list, tuple)):
        return type(node)(_move(child, old, new) for child in node)
    if isinstance(node, dict):
        # A data set joins these with its data_root, unless they are absolute.
        joined = ('ann_file', 'data_prefix') if node.get('data_root') else ()
        return type(node)({
            key: child if key in joined and not old.is_absolute() else _move(child, old, new)
            for key, child in node.items()})
    return node


def add_hook(cfg: Config, **hook: Any) -> None:
    """Adds a custom hook to those that the config has."""
    cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), hook]


def accumulative_counts(cfg: Config) -> int:
    """Iterations per step of the optimizer."""
    return (cfg.get('optim_wrapper') or {}).get('accumulative_counts', 1)


def batch_size(cfg: Config, processes: int) -> int:
    """Images per step of the optimizer, over all processes and accumulated iterations."""
    return processes * cfg.train_dataloader.get('batch_size', 1) * accumulative_counts(cfg)


def describe_batch(cfg: Config, processes: int) -> str:
    """The batch and what it is the product of: '16 (1 x 2 x 8 accumulated)'."""
    counts = accumulative_counts(cfg)
    factors = f'{processes} x {cfg.train_dataloader.get("batch_size", 1)}'
    factors += f' x {counts} accumulated' if counts > 1 else ''
    return f'{batch_size(cfg, processes)} ({factors})'


def count_classes(cfg: Config) -> int | None:
    """How many classes the model's heads tell apart; None if the config doesn't say."""
    return max((node['num_classes'] for key, part in cfg.model.items() if key != 'backbone'
                for node in walk(part) if 'num_classes' in node), default=None)


def drop_pretrained(cfg: Config) -> None:
    """Lets the model start from random weights, whatever the config loads."""
    cfg.load_from = None
    for node in walk(cfg.model):
        if (node.get('init_cfg') or {}).get('type') == 'Pretrained':
            node['init_cfg'] = None
        if isinstance(node.get('pretrained'), str):
            node['pretrained'] = None


def fit_to_cpu(cfg: Config) -> list[str]:
    """Replaces what only runs on a GPU; returns a line for each kind of replacement."""
    notes = []
    sync_norms = [node for node in walk(cfg.model) if node.get('type') in ('SyncBN', 'MMSyncBN')]
    for node in sync_norms:
        node['type'] = 'BN'
    if sync_norms:
        notes.append('No GPU: SyncBN becomes BN.')
    if (cfg.get('optim_wrapper') or {}).get('type') == 'AmpOptimWrapper':
        cfg.optim_wrapper.type = 'OptimWrapper'
        for key in ('loss_scale', 'dtype'):
            cfg.optim_wrapper.pop(key, None)
        notes.append('No GPU: mixed precision becomes float32.')
    return notes
