"""Twins vision transformers for mmdet and mmseg; importing the package registers them.

`TwinsPCPVT`, `TwinsSVT`, `STViT` and `SwinCPVT` build in every OpenMMLab scope, checkpoints can be
given as `hf://ORG/NAME`, and those that mmengine writes load under torch's `weights_only`.
"""
import warnings

__version__ = '0.1.0'

try:
    from . import checkpoints, inheritance, models, training
    from .models import STViT, TwinsPCPVT, TwinsSVT
except Exception as error:  # a broken torch or mmengine may raise anything
    # `python -m twins_mm.doctor` imports this package first, and must still run.
    warnings.warn(f'twins_mm registered nothing: {error} (python -m twins_mm.doctor says why)',
                  stacklevel=2)

__all__ = ['STViT', 'TwinsPCPVT', 'TwinsSVT', 'checkpoints', 'inheritance', 'models', 'training']
