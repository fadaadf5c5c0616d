"""What a pickled checkpoint may be made of, besides tensors and plain values.

A pickle names classes and functions and calls them with whatever arguments it holds, so what is
allowed here must be harmless with any. numpy's constructors are not: `ndarray((1,), 'O', bytes)`
takes bytes for the addresses of objects. Stand-ins that make arrays of numbers and strings, and
nothing else, take their place.
"""
import argparse
import pickle
import re
from pathlib import Path

import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer
from mmengine.optim import OneCycleParamScheduler

# Before 2.6, torch allows no stand-ins.
WEIGHTS_ONLY = tuple(map(int, torch.__version__.split('.')[:2])) >= (2, 6)

# Functions that a log and a schedule hold; a pickle gets them from their class by `getattr`.
_FUNCTIONS = {HistoryBuffer: ('min', 'max', 'current', 'mean'),
              OneCycleParamScheduler: ('_annealing_cos', '_annealing_linear')}


def _get_function(owner: type, name: str):
    """Stands in for `getattr`."""
    if name not in _FUNCTIONS.get(owner, ()):
        raise pickle.UnpicklingError(f'refused: getattr({owner!r}, {name!r})')
    return getattr(owner, name)


class _DType:
    """Stands in for `numpy.dtype`; holds one of numbers or strings."""

    def __init__(self, code: str, *_):
        if not re.fullmatch(r'[bcfiuSU]\d+', code):
            raise pickle.UnpicklingError(
                f'refused: numpy values of type {code!r}, neither numbers nor strings')
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple):
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array(np.ndarray):
    """Stands in for `numpy.ndarray`, and is pickled as one."""

    def __new__(cls, *_):
        return super().__new__(cls, 0)

    def __setstate__(self, state: tuple):
        version, shape, dtype, is_fortran, data = state
        if not isinstance(dtype, _DType):
            raise pickle.UnpicklingError(f'refused: an array of {type(dtype).__name__}')
        super().__setstate__((version, shape, dtype.dtype, is_fortran, data))

    def __array_wrap__(self, array: np.ndarray, *_):
        # What is computed from it is an ordinary array or, as the mean of a log, a scalar.
        return array[()]

    def __reduce__(self):
        return self.view(np.ndarray).__reduce__()


def _make_scalar(dtype: _DType, data: bytes) -> np.generic:
    """Stands in for numpy's `scalar`."""
    array = _Array()
    array.__setstate__((1, (), dtype, False, data))
    return array[()]


def _name(entry) -> str:
    return entry[1] if isinstance(entry, tuple) else f'{entry.__module__}.{entry.__qualname__}'


_ALLOWED = {
    **{_name(kind): kind
       for kind in (argparse.Namespace, bytes, ConfigDict, frozenset, range, *_FUNCTIONS)},
    'builtins.getattr': _get_function,
    'numpy.dtype': _DType,
    'numpy.ndarray': _Array,
    # numpy 2 renamed its core; a checkpoint has the name of the numpy that wrote it.
    **{f'numpy.{core}.multiarray.{name}': stand_in for core in ('core', '_core')
       for name, stand_in in (('_reconstruct', _Array), ('scalar', _make_scalar))},
}


def load_pickle(path: Path, map_location: str | torch.device | None) -> object:
    """Loads what `torch.save` wrote, and with torch 2.6 and newer makes nothing that isn't allowed.

    Allowed is also what the user named to `torch.serialization.add_safe_globals`.
    """
    if not WEIGHTS_ONLY:
        return torch.load(path, map_location=map_location, weights_only=False)
    of_user = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    # For a name that is listed twice, torch would take any of the two.
    torch.serialization.add_safe_globals([
        *(entry for entry in of_user if _name(entry) not in _ALLOWED),
        *((kind, name) for name, kind in _ALLOWED.items())])
    try:
        return torch.load(path, map_location=map_location, weights_only=True)
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(of_user)
