"""Damaged copies of valid files: mutants, a reproducible sequence of each.

Most of them get past a parser's first look, unlike random bytes.
"""

import copy
import math
import random
from collections.abc import Iterator
from typing import Any

ODD_NUMBERS = (-1, 0, 0.5, 10**20, 1e308, math.nan, math.inf)
ODD_VALUES = (*ODD_NUMBERS, None, True, '', 'x', 'été 日本.jpg', '../x', [], [[]], {})


def mutate_document(document: Any, count: int, changes: int = 1) -> Iterator[Any]:
    """Copies of what JSON can hold, each with `changes` values removed, repeated or replaced."""
    for seed in range(count):
        rng, mutant = random.Random(seed), copy.deepcopy(document)
        for _ in range(changes):
            _change(mutant, rng)
        yield mutant


def _change(node: Any, rng: random.Random) -> None:
    """Walks down at random, so that values near the top, which matter most, are met most often."""
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            return
        key = rng.choice(keys)
        if isinstance(node[key], dict | list) and node[key] and rng.random() < 0.8:
            node = node[key]
            continue
        kind = rng.randrange(4)
        if kind == 0:
            del node[key]
        elif kind == 1 and isinstance(node, list):
            node.insert(rng.randrange(len(node)), copy.deepcopy(node[key]))
        else:
            node[key] = copy.deepcopy(rng.choice(ODD_VALUES))
        return


def mutate_bytes(content: bytes, count: int) -> Iterator[bytes]:
    """Copies of a file: cut off, with a part overwritten, removed, repeated or added.

    The first bytes, by which a format is known, stay in most of them.
    """
    for seed in range(count):
        rng = random.Random(seed)
        start = rng.randrange(min(32, len(content)) * (seed % 8 != 0), len(content))
        length = min(2 ** rng.randrange(10), len(content) - start)
        part = content[start : start + length]
        replacement = rng.choice(
            [b'', part * 2, bytes(length), rng.randbytes(length), part[:-1], bytes([part[0] ^ 1])]
        )
        tail = b'' if rng.random() < 0.2 else content[start + length :]
        yield content[:start] + replacement + tail
