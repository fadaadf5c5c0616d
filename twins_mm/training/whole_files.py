"""Files that are whole or absent, whatever happens while one is written."""
from pathlib import Path
from typing import ClassVar

import mmengine.hooks
from mmengine.dist import master_only
from mmengine.fileio import LocalBackend, register_backend
from mmengine.registry import HOOKS

from ..errors import UserError
from ..writing import replacing


@register_backend('local', force=True, prefixes='')
class WholeFilesBackend(LocalBackend):
    """Writes files under another name first, and removes an old checkpoint after a new one.

    mmengine writes checkpoints in place, and removes an old one before it writes the next.
    """
    _outdated: ClassVar[set[Path]] = set()

    def put(self, obj: bytes, filepath: str | Path) -> None:
        path = Path(filepath)
        try:
            with replacing(path) as partial:
                partial.write_bytes(obj)
        except OSError as error:
            raise UserError(
                f'{path} could not be written: {error.strerror}. The checkpoints before it are '
                'whole; make room, then go on with --resume') from error
        for old in self._outdated - {path}:
            old.unlink(missing_ok=True)
        self._outdated.clear()

    def remove(self, filepath: str | Path) -> None:
        if Path(filepath).suffix == '.pth':
            self._outdated.add(Path(filepath))
        else:
            super().remove(filepath)


@HOOKS.register_module(force=True)
class LoggerHook(mmengine.hooks.LoggerHook):
    """Writes a test's scores in the first process alone.

    In mmengine's, all processes write them, to the same file and at the same time.
    """
    after_test_epoch = master_only(mmengine.hooks.LoggerHook.after_test_epoch)
