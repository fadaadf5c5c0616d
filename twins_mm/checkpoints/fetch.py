"""Fetches checkpoints from the Hugging Face hub and the web, once, into their usual caches."""

import hashlib
import os
import re
from pathlib import Path
from urllib.parse import urlsplit

import torch
from mmengine.dist import barrier

from ..config import OTHER_WEIGHTS
from ..errors import UserError

_ADDRESS = re.compile(r'hf://(?P<repo>[^/@]+/[^/@]+)(@(?P<revision>[^/]+))?(/(?P<file>.+))?')


def fetch_from_hub(address: str) -> str:
    """The path of `hf://ORG/NAME[@REVISION][/FILE]`, by default the file `model.safetensors`.

    `huggingface_hub` downloads it into its cache, and respects `HF_ENDPOINT`, `HF_HOME` and
    `HF_HUB_OFFLINE`.

    Raises:
        UserError: The address is malformed, or the file is neither cached nor downloadable.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    match = _ADDRESS.fullmatch(address)
    if not match:
        raise UserError(f'{address} is not of the form hf://ORG/NAME[@REVISION][/FILE]')
    file = match['file'] or 'model.safetensors'
    try:
        return hf_hub_download(match['repo'], file, revision=match['revision'])
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        source = f'{file} of https://huggingface.co/{match["repo"]}'
        raise _download_error(address, source, error) from error


def fetch_from_url(url: str) -> str:
    """The path of a file from the web in torch's cache.

    In a distributed run, one process per machine downloads it.

    Raises:
        UserError: It could not be downloaded.
    """
    file = Path(urlsplit(url).path)
    # Many URLs end in the same name, such as best.pth, which is all that torch's names have.
    digest = hashlib.sha256(url.encode()).hexdigest()[:12]
    folder = Path(torch.hub.get_dir(), 'checkpoints')
    path, torchs = folder / f'{file.stem}-{digest}{file.suffix}', folder / file.name
    if not path.exists() and torchs.exists():
        path = torchs
    elif not path.exists() and int(os.environ.get('LOCAL_RANK', 0)) == 0:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path))
        except OSError as error:
            raise _download_error(url, url, error) from error
    barrier()
    return str(path)


def _download_error(address: str, source: str, error: Exception) -> UserError:
    return UserError(
        f'The weights {address} could not be downloaded: {str(error).splitlines()[0]}\n'
        'What you can do:\n'
        '  - if this machine has internet access, check the address and try again;\n'
        f'  - download {source} elsewhere and pass the file:\n' + OTHER_WEIGHTS
    )
