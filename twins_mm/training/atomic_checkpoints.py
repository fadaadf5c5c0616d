"""Files that are whole or absent, whatever happens while one is written."""

import os
from pathlib import Path
from typing import ClassVar

from mmengine.dist import master_only
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import LoggerHook
from mmengine.registry import HOOKS

from ..errors import UserError
from ..files.atomic_write import replacing

BACKEND = 'whole_checkpoints'


@register_backend(BACKEND)
class WholeCheckpointsBackend(LocalBackend):
    """Writes a checkpoint under another name first, and removes an old one after the new one.

    mmengine's writes it in place, and its CheckpointHook removes an old one before it writes the
    next. For `checkpoint=dict(backend_args=dict(backend='whole_checkpoints'))` in `default_hooks`.
    """

    # mmengine makes one for each checkpoint that it writes, and another to remove them.
    _outdated: ClassVar[set[Path]] = set()

    def put(self, obj: bytes, filepath: str | Path) -> None:
        path = Path(filepath)
        try:
            with replacing(path) as partial, partial.open('wb') as file:
                file.write(obj)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise UserError(
                f'{path} could not be written: {error.strerror}. The checkpoints before it are '
                'whole; make room, then go on with --resume'
            ) from error
        for old in self._outdated - {path}:
            old.unlink(missing_ok=True)
        self._outdated.clear()

    def remove(self, filepath: str | Path) -> None:
        self._outdated.add(Path(filepath))


@HOOKS.register_module()
class MainProcessLoggerHook(LoggerHook):
    """mmengine's, which writes a test's scores in the first process alone.

    There, all processes write them, to the same file and at the same time.
    """

    after_test_epoch = master_only(LoggerHook.after_test_epoch)
