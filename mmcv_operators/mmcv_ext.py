"""Installed as `mmcv/_ext.py`; see `mmcv_operators`."""

from mmcv_operators.extension import *  # noqa: F403
from mmcv_operators.extension import __getattr__  # noqa: F401
