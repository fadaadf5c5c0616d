"""Where weights come from and how they are read; importing it registers both with mmengine."""
from .files import load_file
from .hub import load_from_hub

__all__ = ['load_file', 'load_from_hub']
