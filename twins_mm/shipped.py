"""The former place of `files.shipped`, for one release."""

import warnings

from .files.shipped import CONFIGS, TOOLS, resolve

__all__ = ['CONFIGS', 'TOOLS', 'resolve']

warnings.warn('CONFIGS and TOOLS are now in twins_mm.files.shipped', FutureWarning, stacklevel=2)
