"""Which checkpoint a run goes on from."""

import os
import zipfile
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import broadcast_object_list
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ..config import add_hook
from ..errors import UserError
from .locking import LOCK
from .preemption import CHECKPOINT


def set_resume(cfg: Config, checkpoint: str | None) -> None:
    """Makes a run go on from `checkpoint`, or with 'auto' from the newest of its work dir.

    A run that torchrun restarted goes on from the newest checkpoint since torchrun was started.
    """
    restarted = int(os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)) > 0
    if not (checkpoint or restarted):
        return
    if checkpoint and checkpoint != 'auto':
        cfg.resume, cfg.load_from = True, checkpoint
    if restarted or checkpoint == 'auto':
        add_hook(cfg, type='NewestCheckpointHook', since_launch=checkpoint != 'auto')


@HOOKS.register_module()
class NewestCheckpointHook(Hook):
    """Resumes from the newest whole checkpoint of the work dir.

    Without a checkpoint, the run starts as its config says.

    Args:
        since_launch: Whether checkpoints from before the work dir was locked don't count.
    """

    def __init__(self, since_launch: bool = False):
        self.since_launch = since_launch

    def before_run(self, runner: Runner) -> None:
        # One process chooses, because not all may see the same files on a network file system.
        choice = [*self._choose(runner)] if runner.rank == 0 else [None, []]
        broadcast_object_list(choice)
        chosen, damaged = choice
        if chosen:
            runner._resume, runner._load_from = True, chosen
        elif damaged:
            raise UserError(
                'No checkpoint to resume is whole: ' + ', '.join(damaged) + '. To '
                'start anew, remove them'
            )

    def _choose(self, runner: Runner) -> tuple[str | None, list[str]]:
        """The checkpoint to resume, and newer ones that are damaged."""
        damaged = []
        for path in list_checkpoints(runner.work_dir):
            if (
                self.since_launch
                and path.stat().st_mtime < Path(runner.work_dir, LOCK).stat().st_mtime
            ):
                continue
            if is_whole(path):
                return str(path), damaged
            damaged.append(str(path))
            runner.logger.warning(f'{path} is damaged; trying the checkpoint before it')
        if not damaged:
            runner.logger.info(f'No checkpoint in {runner.work_dir}: the run starts anew')
        return None, damaged


def list_checkpoints(work_dir: str | Path) -> list[Path]:
    """The checkpoints in a work dir that can be resumed, the newest first.

    The newest is the one that mmengine noted, because copying a folder may change its times.
    """
    pointer = Path(work_dir, 'last_checkpoint')
    noted = Path(pointer.read_text().strip()).name if pointer.is_file() else ''
    found = [
        path
        for pattern in ('epoch_*.pth', 'iter_*.pth', CHECKPOINT)
        for path in Path(work_dir).glob(pattern)
    ]
    return sorted(found, key=lambda path: (path.name == noted, path.stat().st_mtime), reverse=True)


def is_whole(path: Path) -> bool:
    """Whether a checkpoint is as torch wrote it, by the checksums in it."""
    try:
        with zipfile.ZipFile(path) as file:
            return file.testzip() is None
    except (OSError, zipfile.BadZipFile):
        return False
