"""Reads a checkpoint from wherever it is."""

import torch
from mmengine.runner import CheckpointLoader

from .fetch import load_from_hub, load_from_url
from .read_file import load_from_file

_LOADERS = {'hf://': load_from_hub, 'http://': load_from_url, 'https://': load_from_url}


def read_checkpoint(address: str, map_location: str | torch.device | None = 'cpu') -> dict:
    """Reads a file, a URL or `hf://ORG/NAME[@REVISION][/FILE]` without running any code in it.

    mmengine reads its other schemes, such as `s3://`, as it always does. For what is in the dict
    see `load_from_file`.

    Raises:
        UserError: It is missing or damaged, or contains more than weights and a log.
    """
    for scheme, load in _LOADERS.items():
        if address.startswith(scheme):
            return load(address, map_location)
    if '://' in address:
        return CheckpointLoader.load_checkpoint(address, map_location, 'silent')
    return load_from_file(address, map_location)


def use_safe_loaders() -> None:
    """Makes mmengine read checkpoints like `read_checkpoint`, in this process, for any model.

    Our tools call it. In your own script, call it before anything loads a checkpoint.
    """
    CheckpointLoader.register_scheme('', load_from_file, force=True)
    CheckpointLoader.register_scheme(('http://', 'https://'), load_from_url, force=True)
