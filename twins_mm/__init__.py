"""Twins vision transformers for mmdet and mmseg: import it and their names are registered.

`TwinsPCPVT` and `TwinsSVT` build in every OpenMMLab scope, checkpoints may be named as
`hf://ORG/NAME`, and the checkpoints that mmengine writes load under torch's `weights_only`.
"""
import warnings

__version__ = '0.1.0'

try:
    from . import checkpoints, inheritance, models, training
    from .models import TwinsPCPVT, TwinsSVT
except Exception as error:  # a broken torch or mmengine fails in any way
    # `python -m twins_mm.doctor` imports this package first, and must run all the same.
    warnings.warn(f'twins_mm registered nothing: {error} (python -m twins_mm.doctor says why)',
                  stacklevel=2)

__all__ = ['TwinsPCPVT', 'TwinsSVT', 'checkpoints', 'inheritance', 'models', 'training']
