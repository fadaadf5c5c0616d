"""Checkpoint files, read with `torch.load(weights_only=True)` and never otherwise.

Beside tensors, mmengine writes its log into a checkpoint: `HistoryBuffer`s of numpy arrays and
numpy scalars; the authors' ImageNet code writes its command line's `Namespace`. torch refuses
classes that are not on its list; the ones named here, and no others, are added.
"""
import argparse
import ast
import pickle
import re
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from mmengine.logging import HistoryBuffer
from safetensors import SafetensorError

from ..errors import UserError

_STATISTICS = ('min', 'max', 'current', 'mean')


def _history_statistic(owner: type, name: str):
    """Stands in for `getattr`, by which pickle names the methods of a HistoryBuffer."""
    if owner is not HistoryBuffer or name not in _STATISTICS:
        raise pickle.UnpicklingError(f'refused: getattr({owner!r}, {name!r})')
    return getattr(owner, name)


def allow_mmengine_checkpoints() -> None:
    """Adds the types of an mmengine log to what torch loads under `weights_only`."""
    # numpy 2 renamed its core; a checkpoint has the name of the numpy that wrote it.
    reconstruct, (scalar, *_) = np.zeros(0).__reduce__()[0], np.float64(0).__reduce__()
    numpy_functions = [
        (function, f'numpy.{core}.multiarray.{name}') for core in ('core', '_core')
        for name, function in (('_reconstruct', reconstruct), ('scalar', scalar))]
    dtypes = [type(np.dtype(kind)) for kind in ('float64', 'float32', 'int64', 'int32', 'bool')]
    torch.serialization.add_safe_globals([
        argparse.Namespace, HistoryBuffer, (_history_statistic, 'builtins.getattr'),
        np.ndarray, np.dtype, *dtypes, *numpy_functions])


def load_from_file(filename: str, map_location: str | torch.device | None = None) -> dict:
    """Loads a checkpoint of tensors, plain values and mmengine's log, or a safetensors file.

    The weights are under 'state_dict', or what is returned is the weights.

    Raises:
        UserError: There is no such file, it is damaged, or it carries anything else; nothing of
            it was run.
    """
    path = Path(filename).expanduser()
    if not path.is_file():
        raise UserError(f'There is no checkpoint {filename}')
    try:
        if path.suffix == '.safetensors':
            return safetensors.torch.load_file(path, device=str(map_location or 'cpu'))
        checkpoint = torch.load(path, map_location=map_location, weights_only=True)
    except (pickle.UnpicklingError, EOFError, RuntimeError, SafetensorError) as error:
        raise _refusal(filename, _reason(path, error)) from error
    if not isinstance(checkpoint, dict):
        raise _refusal(filename, f'it holds a {type(checkpoint).__name__}, not weights by name')
    if isinstance(checkpoint.get('model'), dict):
        checkpoint.setdefault('state_dict', checkpoint['model'])
    meta = checkpoint.get('meta')
    for key in ('config', 'cfg'):
        if isinstance(meta, dict) and _runs_code(meta.get(key)):
            raise _refusal(filename, f'the config in its meta.{key} runs code')
    return checkpoint


def weights_of(checkpoint: dict) -> dict[str, torch.Tensor]:
    """The state dict in what `load_from_file` returns."""
    weights = checkpoint.get('state_dict', checkpoint)
    return {name: value for name, value in weights.items() if isinstance(value, torch.Tensor)}


def _refusal(filename: str, reason: str) -> UserError:
    return UserError(
        f'The checkpoint {filename} was refused, and nothing of it was run: {reason}')


def _reason(path: Path, error: Exception) -> str:
    with path.open('rb') as file:
        beginning = file.read(200).lstrip()
    if beginning.startswith((b'<', b'version https://git-lfs')):
        return 'it is a web page or a pointer to a file, not the file; delete it and fetch it again'
    # The rest of torch's message advises to load it without the check.
    found = re.search(r'WeightsUnpickler error:\s*(.*)', str(error))
    message = found[1] if found else str(error).partition('\n')[0]
    return f'it is damaged, or carries more than weights and a log ({message})'


def _runs_code(config: object) -> bool:
    """Does this config, as text, do more than give names to values and `dict(...)`s?

    mmengine executes it where a run is resumed or an inferencer builds its model from it.
    """
    if not isinstance(config, str):
        return False
    # mmengine fills in the one and executes the other; what it wrote itself has neither.
    if re.search(r'\{\{|\b_base_\b', config):
        return True
    try:
        nodes = list(ast.walk(ast.parse(config)))
    except (SyntaxError, ValueError):
        return False
    harmless = (ast.Module, ast.Assign, ast.Name, ast.expr_context, ast.Constant, ast.Dict,
                ast.List, ast.Tuple, ast.Set, ast.keyword, ast.UnaryOp, ast.unaryop)
    return not all(
        isinstance(node, harmless) or isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name) and node.func.id == 'dict' for node in nodes)
