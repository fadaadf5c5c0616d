"""Loading of weights in every published layout.

Importing it registers mmengine's scheme `hf://`, the initialiser of our backbones, and with torch
the types that mmengine's checkpoints contain.
"""

from mmengine.runner import CheckpointLoader

from . import pretrained
from .conversion import convert
from .files import load_from_file
from .pickles import allow_types_of_mmengine
from .reading import read_checkpoint, use_safe_loaders
from .remote import load_from_hub, load_from_url
from .trained import load_model

__all__ = [
    'convert',
    'load_from_file',
    'load_from_hub',
    'load_from_url',
    'load_model',
    'pretrained',
    'read_checkpoint',
    'use_safe_loaders',
]

CheckpointLoader.register_scheme('hf://', load_from_hub)
allow_types_of_mmengine()
