"""What is done to a config between reading it and training: nothing about toy data is here."""
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config


def walk(node: Any) -> Iterator[dict]:
    """Yields every dict in a nest of dicts and lists, the outer ones first."""
    if isinstance(node, dict):
        yield node
        node = node.values()
    elif not isinstance(node, (list, tuple)):
        return
    for child in list(node):
        yield from walk(child)


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
