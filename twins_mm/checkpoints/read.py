"""Reads checkpoints from wherever they are; from torch 2.6 on, without running any code in them."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.runner import CheckpointLoader

from ..errors import MissingFileError, UserError
from .fetch import fetch_from_hub, fetch_from_url
from .unpickle import WEIGHTS_ONLY, load_pickle


def read_checkpoint(address: str, map_location: str | torch.device | None = 'cpu') -> dict:
    """Reads a file, a URL or `hf://ORG/NAME[@REVISION][/FILE]`.

    mmengine reads its other schemes, such as `s3://`, as it always does. For what is in the dict
    see `load_from_file`.

    Raises:
        UserError: It is missing or damaged, or contains more than weights and a log.
    """
    if address.startswith('hf://'):
        return load_from_hub(address, map_location)
    if address.startswith(('http://', 'https://')):
        return load_from_url(address, map_location)
    if '://' in address:
        return CheckpointLoader.load_checkpoint(address, map_location, 'silent')
    return load_from_file(address, map_location)


def use_safe_loaders() -> None:
    """Makes mmengine read checkpoints like `read_checkpoint`, in this process, for any model.

    Our tools call it. In your own script, call it before anything loads a checkpoint.
    """
    CheckpointLoader.register_scheme('', load_from_file, force=True)
    CheckpointLoader.register_scheme(('http://', 'https://'), load_from_url, force=True)


def load_from_hub(address: str, map_location: str | torch.device | None = None) -> dict:
    """Loads what `fetch_from_hub` fetches; for what is in the dict see `load_from_file`."""
    return load_from_file(fetch_from_hub(address), map_location)


def load_from_url(url: str, map_location: str | torch.device | None = None) -> dict:
    """Loads what `fetch_from_url` fetches; for what is in the dict see `load_from_file`."""
    return load_from_file(fetch_from_url(url), map_location)


def load_from_file(filename: str, map_location: str | torch.device | None = None) -> dict:
    """Loads a checkpoint of tensors, plain values and mmengine's log, or a safetensors file.

    The weights are under 'state_dict', or the returned dict is the weights. Configs are left out.
    Before torch 2.6 the file can't be checked and must be trusted.

    Raises:
        MissingFileError: There is no such file.
        UserError: It is damaged, or contains anything else; none of its code was run.
    """
    path = Path(filename).expanduser()
    if not path.is_file():
        raise MissingFileError(f'Checkpoint not found: {filename}')
    try:
        if path.suffix == '.safetensors':
            import safetensors.torch

            return safetensors.torch.load_file(path, device=str(map_location or 'cpu'))
        checkpoint = load_pickle(path, map_location)
    except Exception as error:  # bad files may raise anything
        raise _refusal(filename, _reason(path, error)) from error
    if not isinstance(checkpoint, dict):
        raise _refusal(filename, f'it contains a {type(checkpoint).__name__}, not named weights')
    try:
        _remove_configs(checkpoint)
    except TypeError as error:
        raise _refusal(filename, str(error)) from error
    if isinstance(checkpoint.get('model'), dict):
        checkpoint.setdefault('state_dict', checkpoint['model'])
    return checkpoint


def weights_of(checkpoint: dict) -> dict[str, torch.Tensor]:
    """The state dict in a checkpoint from `load_from_file`.

    Raises:
        UserError: It is no dict.
    """
    weights = checkpoint.get('state_dict', checkpoint)
    if not isinstance(weights, Mapping):
        kind = type(weights).__name__
        raise UserError(f'The checkpoint is damaged: its state_dict is not a dict but a {kind}')
    return {name: value for name, value in weights.items() if isinstance(value, torch.Tensor)}


def dataset_meta_of(checkpoint: dict) -> dict:
    """What a checkpoint says of its classes, by lower-case keys; `palette` is one for each class.

    Raises:
        UserError: The classes are not names.
    """
    meta = checkpoint.get('meta') or {}
    found = {
        key.lower(): value
        for key, value in (meta.get('dataset_meta') or meta).items()
        if value is not None
    }
    classes, palette = found.get('classes') or (), found.pop('palette', ())
    if not isinstance(classes, list | tuple) or not all(isinstance(name, str) for name in classes):
        raise UserError(f'The checkpoint is damaged: its classes are not names: {classes!s:.200}')
    if _are_colors(palette, len(classes)):
        found['palette'] = palette
    return found


def _are_colors(palette: Any, count: int) -> bool:
    try:
        return np.asarray(palette, np.uint8).shape == (count, 3)
    except (ValueError, TypeError, OverflowError):
        return False


def _remove_configs(checkpoint: dict) -> None:
    """Removes every config that mmengine would execute or build a model from.

    Inferencers look for one in `message_hub` and then in `meta`. Resuming reads `meta.config`, and
    a config in `message_hub` would replace the text of the running config in later checkpoints.

    Raises:
        TypeError: One of these is not a dict.
    """
    meta = _get_dict(checkpoint, 'meta')
    _get_dict(meta, 'dataset_meta')
    info = _get_dict(_get_dict(checkpoint, 'message_hub'), 'runtime_info')
    for owner, key in ((meta, 'config'), (meta, 'cfg'), (info, 'cfg')):
        if key in owner:
            del owner[key]


def _get_dict(owner: dict, key: str) -> dict:
    # With operators, because a pickle can override the `get` of an OrderedDict.
    value = owner[key] if key in owner else None  # noqa: SIM401
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise TypeError(f'its {key} is not a dict but a {type(value).__name__}')
    return value


def _refusal(filename: str, reason: str) -> UserError:
    safe = ', and none of its code was run' if WEIGHTS_ONLY else ''
    return UserError(f'The checkpoint {filename} was refused{safe}: {reason}')


def _reason(path: Path, error: Exception) -> str:
    with path.open('rb') as file:
        beginning = file.read(200).lstrip()
    if beginning.startswith((b'<', b'version https://git-lfs')):
        return 'it is a web page or a Git LFS pointer; delete it and download the file again'
    if unknown := re.search(r'GLOBAL (\S+) was not an allowed global', str(error)):
        return (
            f"it contains {unknown[1]}, which is neither weights nor part of mmengine's log. "
            'If you trust its author, allow this type before loading, for example in a module '
            "of the config's custom_imports: "
            f'torch.serialization.add_safe_globals([{unknown[1]}])'
        )
    # The rest of torch's message recommends loading without the check.
    found = re.search(r'WeightsUnpickler error:\s*(.*)', str(error))
    message = found[1] if found else str(error).partition('\n')[0]
    return f'it is damaged, or contains more than weights and a log ({message})'
