"""Where weights come from and how they are read; importing it registers both with mmengine."""
from .hub import load_from_hub
from .safe_globals import allow_mmengine_checkpoints

allow_mmengine_checkpoints()

__all__ = ['load_from_hub']
