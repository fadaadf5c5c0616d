"""Checkpoint files, read with `torch.load(weights_only=True)` and never otherwise.

Beside tensors, mmengine writes its log into a checkpoint: `HistoryBuffer`s of numpy arrays and
numpy scalars. torch refuses classes that are not on its list; the ones named here, and no others,
are added.
"""
import pickle
import re
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader

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
        HistoryBuffer, (_history_statistic, 'builtins.getattr'),
        np.ndarray, np.dtype, *dtypes, *numpy_functions])


def load_file(filename: str, map_location: str | torch.device | None = None) -> dict:
    """Loads a checkpoint of tensors, plain values and mmengine's log.

    Raises:
        FileNotFoundError: There is no such file.
        UserError: It is damaged or carries anything else; nothing of it was run.
    """
    path = Path(filename).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'There is no checkpoint {filename}')
    try:
        return torch.load(path, map_location=map_location, weights_only=True)
    except (pickle.UnpicklingError, EOFError, RuntimeError) as error:
        # The rest of torch's message advises to load it without the check.
        reason = re.search(r'WeightsUnpickler error: *(.*)', str(error))
        reason = reason[1] if reason else str(error).partition('\n')[0]
        raise UserError(
            f'The checkpoint {filename} was refused, and nothing of it was run: it is damaged, or '
            f'carries more than weights and a log ({reason})') from error


# Before torch 2.6, whose default is another, mmengine's own loader stays.
if tuple(map(int, torch.__version__.split('.')[:2])) >= (2, 6):
    allow_mmengine_checkpoints()
    CheckpointLoader.register_scheme(prefixes='', loader=load_file, force=True)
