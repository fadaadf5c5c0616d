"""The types that a pickled checkpoint may contain besides tensors and plain values.

A pickle names classes and functions and calls them with arbitrary arguments, so everything allowed
here must be harmless with any. numpy's constructors are not: `ndarray((1,), 'O', bytes)` treats
bytes as the addresses of objects. Stand-ins replace them that only make arrays of numbers and
strings.
"""

import argparse
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer
from mmengine.optim import OneCycleParamScheduler

# torch before 2.6 doesn't support stand-ins.
WEIGHTS_ONLY = tuple(map(int, torch.__version__.split('.')[:2])) >= (2, 6)

_KINDS = 'bcfiuSU'  # numbers and strings

# Functions in logs and schedules; a pickle gets them from their class with `getattr`.
_FUNCTIONS = {
    HistoryBuffer: ('min', 'max', 'current', 'mean'),
    OneCycleParamScheduler: ('_annealing_cos', '_annealing_linear'),
}


def _get_function(owner: type, name: str) -> Callable:
    """Stands in for `getattr`."""
    if name not in _FUNCTIONS.get(owner, ()):
        raise pickle.UnpicklingError(f'refused: getattr({owner!r}, {name!r})')
    return getattr(owner, name)


class _DType:
    """Stands in for `numpy.dtype`; allows numbers and strings only."""

    def __init__(self, code: str, *_: object):
        if not re.fullmatch(rf'[{_KINDS}]\d+', code):
            raise pickle.UnpicklingError(
                f'refused: numpy values of type {code!r}, which are neither numbers nor strings'
            )
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array(np.ndarray):
    """Stands in for `numpy.ndarray`, and is pickled as one."""

    def __new__(cls, *_: object) -> '_Array':
        return super().__new__(cls, 0)

    def __setstate__(self, state: tuple) -> None:
        version, shape, dtype, is_fortran, data = state
        if isinstance(dtype, _DType):
            dtype = dtype.dtype
        # numpy's own comes from a process that has allowed it.
        elif not isinstance(dtype, np.dtype) or dtype.kind not in _KINDS or dtype.fields:
            raise pickle.UnpicklingError(f'refused: an array of {dtype!r}')
        super().__setstate__((version, shape, dtype, is_fortran, data))

    def __array_wrap__(self, array: np.ndarray, *_: object) -> object:
        # Results of operations on it are ordinary arrays or scalars, such as the mean of a log.
        return array[()]

    def __reduce__(self) -> tuple:
        return self.view(np.ndarray).__reduce__()


def _make_scalar(dtype: _DType, data: bytes) -> np.generic:
    """Stands in for numpy's `scalar`."""
    array = _Array()
    array.__setstate__((1, (), dtype, False, data))
    return array[()]


def _name(entry: Any) -> str:
    return entry[1] if isinstance(entry, tuple) else f'{entry.__module__}.{entry.__qualname__}'


_ALLOWED = {
    **{
        _name(kind): kind
        for kind in (argparse.Namespace, bytes, ConfigDict, frozenset, range, *_FUNCTIONS)
    },
    'builtins.getattr': _get_function,
    'numpy.dtype': _DType,
    'numpy.ndarray': _Array,
    # numpy 2 renamed its core; a checkpoint uses the name of the numpy that wrote it.
    **{
        f'numpy.{core}.multiarray.{name}': stand_in
        for core in ('core', '_core')
        for name, stand_in in (('_reconstruct', _Array), ('scalar', _make_scalar))
    },
}


def allow_types_of_mmengine() -> None:
    """Lets `torch.load` read mmengine's checkpoints in this process, under `weights_only` too.

    mmengine 0.10 doesn't pass `weights_only`, and torch 2.6 made it the default. What the process
    has allowed already stays.
    """
    if WEIGHTS_ONLY:
        allowed = set(map(_name, torch.serialization.get_safe_globals()))
        torch.serialization.add_safe_globals(
            [(kind, name) for name, kind in _ALLOWED.items() if name not in allowed]
        )


def load_pickle(path: Path, map_location: str | torch.device | None) -> object:
    """Loads a file of `torch.save`; torch 2.6 and newer create allowed types only.

    Types that the user passed to `torch.serialization.add_safe_globals` are allowed too.
    """
    if not WEIGHTS_ONLY:
        return torch.load(path, map_location=map_location, weights_only=False)
    of_user = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    # If a name were listed twice, torch might take either.
    torch.serialization.add_safe_globals(
        [
            *(entry for entry in of_user if _name(entry) not in _ALLOWED),
            *((kind, name) for name, kind in _ALLOWED.items()),
        ]
    )
    try:
        return torch.load(path, map_location=map_location, weights_only=True)
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(of_user)
