"""Importing this module makes `_base_ = 'twins_mm::...'` work in any mmengine config."""

from mmengine.config import Config
from mmengine.config.utils import MODULE2PACKAGE

from .shipped import PREFIX, resolve

_find_base = Config._get_cfg_path


def _find_base_or_ours(path: str, config: str) -> tuple[str, str | None]:
    """The file that a config's `_base_` names, and the scope to build its modules in.

    mmengine's own lookup misses packages that are installed as editable, and it builds inherited
    modules in the scope `twins_mm`, where no mmdet or mmseg module is registered. Without a scope,
    they are built in the config's own, like those of a base file next to it.
    """
    return (resolve(path), None) if path.startswith(PREFIX) else _find_base(path, config)


Config._get_cfg_path = staticmethod(_find_base_or_ours)
MODULE2PACKAGE['twins_mm'] = 'twins_mm'  # for `list_models('twins_mm')` of the inferencers
