"""`_base_ = 'twins_mm::...'` in anybody's config: importing this module sets it up in mmengine."""
from mmengine.config import Config
from mmengine.config.utils import MODULE2PACKAGE

from .shipped import PREFIX, resolve

_find_base = Config._get_cfg_path


def _find_base_or_ours(path: str, config: str) -> tuple[str, str | None]:
    """The file that `_base_` of a config names, and the scope that its modules are built in.

    mmengine's own way does not find a package that is installed as editable, and builds what is
    inherited in the scope `twins_mm`, where none of mmdet's and mmseg's modules is registered.
    Without a scope it is built in the one of the config, like what a base next to it has.
    """
    return (resolve(path), None) if path.startswith(PREFIX) else _find_base(path, config)


Config._get_cfg_path = staticmethod(_find_base_or_ours)
MODULE2PACKAGE['twins_mm'] = 'twins_mm'  # for `list_models('twins_mm')` of the inferencers
