"""The former module of `data.own_data`, for one release."""

import warnings

from .data.own_data import use_own_data

__all__ = ['use_own_data']

warnings.warn('use_own_data is now in twins_mm.data.own_data', FutureWarning, stacklevel=2)
