"""Twins vision transformers for mmdet and mmseg; importing the package registers them.

`TwinsPCPVT`, `TwinsSVT`, `STViT` and the backbones of baselines build in every OpenMMLab scope,
checkpoints can be given as `hf://ORG/NAME`, those that mmengine writes load under torch's
`weights_only`, and a config's `_base_` finds ours by `twins_mm::`. Nothing else changes for others.
"""

import sys

__version__ = '0.1.0'

try:
    from . import checkpoints, models, training
    from .files.shipped import resolve_bases
    from .models import STViT, TwinsPCPVT, TwinsSVT

    resolve_bases()
except Exception:  # a broken torch or mmengine may raise anything
    # Python imports this first for `python -m twins_mm.doctor`, which says what is wrong.
    if 'twins_mm.doctor' not in sys.orig_argv:
        raise

__all__ = ['STViT', 'TwinsPCPVT', 'TwinsSVT', 'checkpoints', 'models', 'training']
