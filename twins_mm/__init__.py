"""Twins vision transformers for mmdet and mmseg; importing the package registers them.

`TwinsPCPVT`, `TwinsSVT`, `STViT` and the backbones of baselines build in every OpenMMLab scope,
checkpoints can be given as `hf://ORG/NAME`, those that mmengine writes load under torch's
`weights_only`, and a config's `_base_` finds ours by `twins_mm::`. Nothing else changes for others.
"""

import sys

__version__ = '0.1.0'

# Python imports this first for `python -m twins_mm.doctor` too, which a torch that crashes must not
# end.
if 'twins_mm.doctor' not in sys.orig_argv:
    from . import checkpoints, models, training
    from .files.shipped import resolve_bases
    from .models import STViT, TwinsPCPVT, TwinsSVT

    resolve_bases()

__all__ = ['STViT', 'TwinsPCPVT', 'TwinsSVT', 'checkpoints', 'models', 'training']
