"""Loading of weights in every published layout.

Importing it registers mmengine's scheme `hf://`, the initialiser of our backbones, and with torch
the types that mmengine's checkpoints contain.
"""

from mmengine.runner import CheckpointLoader

from . import initialise
from .convert import convert
from .load_model import load_model
from .read import load_from_file, load_from_hub, load_from_url, read_checkpoint, use_safe_loaders
from .unpickle import allow_types_of_mmengine

__all__ = [
    'convert',
    'load_from_file',
    'load_from_hub',
    'load_from_url',
    'load_model',
    'initialise',
    'read_checkpoint',
    'use_safe_loaders',
]

CheckpointLoader.register_scheme('hf://', load_from_hub)
allow_types_of_mmengine()
