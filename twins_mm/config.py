"""Queries and edits of a config between loading and training; toy data is handled elsewhere."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device

from .errors import UserError

OTHER_WEIGHTS = """\
      --cfg-options model.backbone.init_cfg.checkpoint=PATH
  - train from random weights:  --cfg-options model.backbone.init_cfg=None"""


def walk(node: Any) -> Iterator[dict]:
    """Yields every dict in nested dicts and lists, outer ones first."""
    if isinstance(node, dict):
        yield node
        node = node.values()
    elif not isinstance(node, (list, tuple)):
        return
    for child in list(node):
        yield from walk(child)


def data_sets(node: Any) -> Iterator[dict]:
    """Yields the data sets of a data loader, without wrappers such as `RepeatDataset`."""
    inner = node.get('dataset', node.get('datasets')) if isinstance(node, dict) else node
    if inner is None:
        yield node
    elif isinstance(inner, dict):
        yield from data_sets(inner)
    else:
        for child in inner:
            yield from data_sets(child)


def pipeline_of(cfg: Config, split: str) -> list[dict]:
    """The steps of a split, e.g. 'test', as its first data set has them; none without data."""
    data_set = next(data_sets(cfg.get(f'{split}_dataloader') or {}), {})
    return data_set.get('pipeline') or []


def find_step(pipeline: list[dict], kind: str) -> dict | None:
    """The first step with this in its type, e.g. 'Resize', however nested."""
    return next((step for step in walk(pipeline) if kind in str(step.get('type'))), None)


def resize_scale(cfg: Config) -> Sequence[int] | None:
    """The limits, long and short side, that validation images are resized to; None without."""
    steps = walk(pipeline_of(cfg, 'val'))
    return next((step['scale'] for step in steps if 'scale' in step), None)


def test_steps(cfg: Config) -> list[dict]:
    """The steps of the test pipeline that follow loading."""
    return [step for step in pipeline_of(cfg, 'test') if not step['type'].startswith('Load')]


def move_data(cfg: Config, root: str) -> None:
    """Points data loaders and evaluators to `root` instead of the config's `data_root`.

    Raises:
        UserError: The config has no `data_root`, or several.
    """
    parts = [key for key in cfg if key.endswith(('_dataloader', '_evaluator', '_pipeline'))]
    roots = {
        PurePath(node['data_root'])
        for node in walk([cfg[part] for part in parts])
        if node.get('data_root')
    }
    if cfg.get('data_root'):
        parts.append('data_root')
        roots = roots or {PurePath(cfg.data_root)}
    # The current folder is a prefix of every relative path, so it can't be replaced.
    roots.discard(PurePath())
    if len(roots) != 1:
        raise UserError(
            f'--data-root needs a config with exactly one data_root; this one has '
            f'{", ".join(sorted(map(str, roots))) or "none"}. Set each path with --cfg-options, '
            'e.g. train_dataloader.dataset.data_root=DIR'
        )
    (old,) = roots
    for part in parts:
        cfg[part] = _move(cfg[part], old, root)


def _move(node: Any, old: PurePath, new: str) -> Any:
    """A copy of `node` with the paths under `old` moved to `new`."""
    if isinstance(node, str) and PurePath(node).is_relative_to(old):
        return os.path.join(new, *PurePath(node).relative_to(old).parts)
    if isinstance(node, (list, tuple)):
        return type(node)(_move(child, old, new) for child in node)
    if isinstance(node, dict):
        # A data set joins these with its data_root, unless they are absolute.
        joined = ('ann_file', 'data_prefix') if node.get('data_root') else ()
        return type(node)(
            {
                key: child if key in joined and not old.is_absolute() else _move(child, old, new)
                for key, child in node.items()
            }
        )
    return node


def add_hook(cfg: Config, **hook: Any) -> None:
    """Appends to the config's custom hooks."""
    cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), hook]


def accumulative_counts(cfg: Config) -> int:
    """Iterations per optimizer step."""
    return (cfg.get('optim_wrapper') or {}).get('accumulative_counts', 1)


def batch_size(cfg: Config, processes: int) -> int:
    """Images per optimizer step, over all processes and accumulated iterations."""
    return processes * cfg.train_dataloader.get('batch_size', 1) * accumulative_counts(cfg)


def describe_batch(cfg: Config, processes: int) -> str:
    """The batch size and its factors: '16 (1 x 2 x 8 accumulated)'."""
    counts = accumulative_counts(cfg)
    factors = f'{processes} x {cfg.train_dataloader.get("batch_size", 1)}'
    factors += f' x {counts} accumulated' if counts > 1 else ''
    return f'{batch_size(cfg, processes)} ({factors})'


def heads_with_classes(cfg: Config) -> Iterator[dict]:
    """Yields the parts of the model that have a number of classes.

    A classifier's data preprocessor, which mixes labels, is among them.
    """
    for key, part in cfg.model.items():
        if key != 'backbone':
            yield from (node for node in walk(part) if 'num_classes' in node)


def count_classes(cfg: Config) -> int | None:
    """How many classes the model's heads predict; None if the config doesn't say."""
    return max(
        (
            head['num_classes']
            for head in heads_with_classes(cfg)
            if head is not cfg.model.get('data_preprocessor')
        ),
        default=None,
    )


def initialisations(node: dict) -> list[dict]:
    """The `init_cfg` of a part of a model: none, one or a list."""
    return _as_list(node.get('init_cfg'))


def schedulers(cfg: Config) -> list[dict]:
    """The `param_scheduler` of a config: none, one or a list."""
    return _as_list(cfg.get('param_scheduler'))


def _as_list(found: Any) -> list:
    return list(found) if isinstance(found, (list, tuple)) else [found] if found else []


def drop_pretrained(cfg: Config) -> None:
    """Makes the model start from random weights, whatever the config loads."""
    cfg.load_from = None
    for node in walk(cfg.model):
        if any(init.get('type') == 'Pretrained' for init in initialisations(node)):
            others = [init for init in initialisations(node) if init.get('type') != 'Pretrained']
            node['init_cfg'] = others or None
        if isinstance(node.get('pretrained'), str):
            node['pretrained'] = None


def check_pretrained(cfg: Config) -> None:
    """Checks that the weights that the model starts from exist, if they are a file.

    Raises:
        UserError: A file is missing.
    """
    for node in walk(cfg.model):
        for init in initialisations(node):
            file = init.get('checkpoint') if init.get('type') == 'Pretrained' else None
            if file and '://' not in file and not Path(file).expanduser().is_file():
                raise UserError(
                    f'The config starts from weights in {file}, which is not there.\n'
                    'What you can do:\n'
                    '  - put the file there, or pass another:\n' + OTHER_WEIGHTS
                )


def adapt_to_cpu(cfg: Config) -> list[str]:
    """Replaces what only runs on a GPU; returns a line for each kind of replacement."""
    notes = []
    sync_norms = [node for node in walk(cfg.model) if node.get('type') in ('SyncBN', 'MMSyncBN')]
    for node in sync_norms:
        node['type'] = 'BN'
    if sync_norms:
        notes.append('No GPU: SyncBN becomes BN.')
    if (cfg.get('optim_wrapper') or {}).get('type') == 'AmpOptimWrapper':
        cfg.optim_wrapper.type = 'BFloat16OptimWrapper' if multiplies_bfloat16() else 'OptimWrapper'
        for key in ('loss_scale', 'dtype', 'use_fsdp'):
            cfg.optim_wrapper.pop(key, None)
        precision = 'float32' if cfg.optim_wrapper.type == 'OptimWrapper' else 'bfloat16'
        notes.append(f'No GPU: mixed precision becomes {precision}.')
    if cfg.get('launcher', 'none') != 'none':
        # What mmengine wraps a model in by default, without the number of a GPU.
        cfg.model_wrapper_cfg = dict(
            dict(
                type='MMDistributedDataParallel',
                broadcast_buffers=False,
                find_unused_parameters=cfg.get('find_unused_parameters', False),
            ),
            **dict(cfg.get('model_wrapper_cfg') or {}, device_ids=None),
        )
    return notes


def multiplies_bfloat16() -> bool:
    """Whether this CPU has instructions for products in bfloat16, as far as torch can tell.

    `torch.ops.mkldnn._is_mkldnn_bf16_supported` is also true with other AVX-512, where oneDNN takes
    1.3 times as long for them as in float32. CPUs with AMX have AVX-512 BF16 too.
    """
    ask = getattr(torch.cpu, '_is_avx512_bf16_supported', None)  # older torch hasn't got it
    return ask is not None and torch.backends.mkldnn.is_available() and ask()


def check_mixed_precision() -> None:
    """Raises a UserError unless `--amp` is possible here."""
    if get_device() == 'cpu' and not multiplies_bfloat16():
        raise UserError(
            '--amp needs a GPU, or a CPU that multiplies bfloat16 (AVX-512 BF16 or AMX)'
        )
