"""Weights from the Hugging Face hub, wherever mmengine takes a checkpoint."""
import re

import torch
from mmengine.runner import CheckpointLoader

from ..errors import UserError
from . import files

_ADDRESS = re.compile(r'hf://(?P<repo>[^/@]+/[^/@]+)(@(?P<revision>[^/]+))?(/(?P<file>.+))?')


@CheckpointLoader.register_scheme(prefixes='hf://')
def load_from_hub(address: str, map_location: str | torch.device | None = None) -> dict:
    """Loads `hf://ORG/NAME[@REVISION][/FILE]`, by default the file `model.safetensors`.

    `huggingface_hub` downloads it into its cache, once, and heeds `HF_ENDPOINT`, `HF_HOME` and
    `HF_HUB_OFFLINE`.

    Raises:
        UserError: The address is malformed, or the file is neither cached nor to be had.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    match = _ADDRESS.fullmatch(address)
    if not match:
        raise UserError(f'{address} is not of the form hf://ORG/NAME[@REVISION][/FILE]')
    file = match['file'] or 'model.safetensors'
    try:
        path = hf_hub_download(match['repo'], file, revision=match['revision'])
        if not file.endswith('.safetensors'):
            return files.load_file(path, map_location)
        return load_file(path, device=str(map_location or 'cpu'))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise UserError(
            f'The weights {address} could not be fetched: {str(error).splitlines()[0]}\n'
            'Ways out:\n'
            '  - where this machine has internet access, check the address and try again;\n'
            f'  - fetch {file} of https://huggingface.co/{match["repo"]} elsewhere and name the '
            'file:\n'
            '      --cfg-options model.backbone.init_cfg.checkpoint=PATH\n'
            '  - train from random weights:  --cfg-options model.backbone.init_cfg=None'
        ) from error
    except SafetensorError as error:
        raise UserError(f'{path} is damaged ({error}); delete it and try again') from error
