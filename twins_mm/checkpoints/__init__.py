"""Safe loading of weights in every published layout; importing it sets this up in mmengine.

`CheckpointLoader`, and with it everything in OpenMMLab that takes a checkpoint, then loads files
and `http(s)://` safely, and `hf://` from the Hugging Face hub; Twins backbones accept every layout.
"""
from mmengine.runner import CheckpointLoader

from .files import load_from_file
from .layouts import convert
from .remote import load_from_hub, load_from_url
from .trained import load_model

__all__ = ['convert', 'load_from_file', 'load_from_hub', 'load_from_url', 'load_model']

CheckpointLoader.register_scheme('hf://', load_from_hub)
CheckpointLoader.register_scheme('', load_from_file, force=True)
CheckpointLoader.register_scheme(('http://', 'https://'), load_from_url, force=True)
