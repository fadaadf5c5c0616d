"""What keeps training runs right; importing the package registers it with mmengine."""

from . import (
    cosine,
    finiteness,
    hooks,
    mixed_precision,
    preemption,
    resuming,
    seeding,
    whole_files,
)

__all__ = [
    'cosine',
    'finiteness',
    'hooks',
    'mixed_precision',
    'preemption',
    'resuming',
    'seeding',
    'whole_files',
]
