"""One run for each working directory."""

import os
import socket
from io import TextIOWrapper
from pathlib import Path

from mmengine.config import Config

from ..errors import UserError
from ..files.atomic_write import PARTIAL
from .processes import is_first_process

LOCK = 'run.lock'
_held: list[TextIOWrapper] = []


def lock_work_dir(cfg: Config) -> None:
    """Takes the work dir of a run, see `lock_folder`."""
    lock_folder(Path(cfg.work_dir), cfg.get('launcher', 'none'), '--work-dir')


def lock_folder(folder: Path, launcher: str, flag: str) -> None:
    """Takes a folder for this process until it ends.

    If a launcher connects several processes, the first one takes it.

    The system releases the lock of a process that died, also on NFS. Unlike those of `flock`,
    these locks are not inherited, so data workers that outlive a killed run don't hold them.

    Raises:
        UserError: Another run has it.
    """
    import fcntl  # only Unix has it

    if launcher != 'none' and not is_first_process():
        return
    path = folder / LOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open('a+')
    _held.append(file)
    file.seek(0)
    owner = file.read()
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        raise UserError(
            f'{folder} is in use by {owner}. Wait for it to end, or choose another folder: '
            f'{flag} DIR'
        ) from None
    except OSError as error:
        print(f'{path} cannot be locked ({error.strerror}): do not start a second run in it.')
    for partial in path.parent.glob(f'{PARTIAL}*'):  # of a run that was killed
        partial.unlink(missing_ok=True)
    # A run that torchrun restarts keeps its launcher, so the file's time is that of the launch.
    launched = 'TORCHELASTIC_RUN_ID' in os.environ
    name = f'process {os.getppid() if launched else os.getpid()} on {socket.gethostname()}'
    if name != owner:
        file.truncate(0)
        file.write(name)
        file.flush()
