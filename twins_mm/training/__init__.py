"""What keeps training runs right; importing the package registers it with mmengine."""

from . import (
    atomic_checkpoints,
    checkpoint_fit,
    cosine,
    mixed_precision,
    nan_check,
    preemption,
    resuming,
    seeding,
)

__all__ = [
    'atomic_checkpoints',
    'checkpoint_fit',
    'cosine',
    'mixed_precision',
    'nan_check',
    'preemption',
    'resuming',
    'seeding',
]
