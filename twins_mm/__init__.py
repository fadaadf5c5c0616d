"""Twins vision transformers for mmdet and mmseg: import it and their names are registered.

`TwinsPCPVT` and `TwinsSVT` build in every OpenMMLab scope, checkpoints may be named as
`hf://ORG/NAME`, and the checkpoints that mmengine writes load under torch's `weights_only`.
"""
import sys

# `python -m twins_mm.doctor` imports this package first, and must run where the rest can't.
if 'twins_mm.doctor' not in sys.orig_argv:
    from . import checkpoints, hooks, inheritance, models, seeding
    from .models import TwinsPCPVT, TwinsSVT

__version__ = '0.1.0'
__all__ = [
    'TwinsPCPVT', 'TwinsSVT', 'checkpoints', 'hooks', 'inheritance', 'models', 'seeding']
