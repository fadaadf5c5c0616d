"""Records the names and shapes of timm's and mmpretrain's Twins classifiers in `peers/`.

    python tests/checkpoints/record_peers.py

`test_peers.py` reads the records, so it doesn't need the peers. For a peer that is not installed,
it prints a line and keeps the existing record.
"""
import json
from importlib import import_module
from pathlib import Path

from torch import nn

FOLDER = Path(__file__).parent / 'peers'
PEERS = ('timm', 'mmpretrain')
VARIANTS = [f'{family}_{size}' for family in ('pcpvt', 'svt')
            for size in ('small', 'base', 'large')]


def build(peer: str, variant: str) -> nn.Module:
    """The peer's ImageNet classifier with 1000 classes and random weights."""
    library = import_module(peer)
    if peer == 'timm':
        return library.create_model(f'twins_{variant}')
    name, = library.list_models(f'twins-{variant.replace("_", "-")}*')
    # mmpretrain's default epsilon; its PCPVT config overrides it, its SVT config doesn't.
    return library.get_model(name, pretrained=False, backbone=dict(norm_cfg=dict(eps=1e-5)))


def record(peer: str) -> None:
    version = import_module(peer).__version__
    lines = []
    for variant in VARIANTS:
        weights = build(peer, variant).state_dict()
        shapes = {key: list(value.shape) for key, value in weights.items()}
        lines.append(f'"{variant}": {json.dumps(shapes, separators=(",", ":"))}')
    # One line per variant: compact, and a diff still shows which variant changed.
    (FOLDER / f'{peer}.json').write_text(
        f'{{"version": "{version}", "keys": {{\n' + ',\n'.join(lines) + '\n}}\n')


if __name__ == '__main__':
    for peer in PEERS:
        try:
            record(peer)
        except ImportError as error:
            print(f'{peer} is not recorded: {error}')
