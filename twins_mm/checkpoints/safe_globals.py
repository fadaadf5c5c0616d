"""Lets `torch.load(weights_only=True)` read the checkpoints that mmengine writes.

Beside tensors, mmengine stores its log as `HistoryBuffer`s of numpy arrays and numpy scalars.
torch refuses classes that are not on its list; the ones named here, and no others, are added.
"""
import pickle

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

_STATISTICS = ('min', 'max', 'current', 'mean')


def _history_statistic(owner: type, name: str):
    """Stands in for `getattr`, by which pickle names the methods of a HistoryBuffer."""
    if owner is not HistoryBuffer or name not in _STATISTICS:
        raise pickle.UnpicklingError(f'refused: getattr({owner!r}, {name!r})')
    return getattr(owner, name)


def allow_mmengine_checkpoints() -> None:
    """Adds the types of an mmengine log to torch's list; before torch 2.6, which has no use for
    it because `weights_only` is not its default, does nothing.
    """
    if tuple(map(int, torch.__version__.split('.')[:2])) < (2, 6):
        return
    # numpy 2 renamed its core; a checkpoint has the name of the numpy that wrote it.
    reconstruct, (scalar, *_) = np.zeros(0).__reduce__()[0], np.float64(0).__reduce__()
    numpy_functions = [
        (function, f'numpy.{core}.multiarray.{name}') for core in ('core', '_core')
        for name, function in (('_reconstruct', reconstruct), ('scalar', scalar))]
    dtypes = [type(np.dtype(kind)) for kind in ('float64', 'float32', 'int64', 'int32', 'bool')]
    torch.serialization.add_safe_globals([
        HistoryBuffer, (_history_statistic, 'builtins.getattr'),
        np.ndarray, np.dtype, *dtypes, *numpy_functions])
