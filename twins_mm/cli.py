"""What the command-line tools share: flags, config loading and error reporting."""

import argparse
import errno
import functools
import os
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import cv2
import mmengine.device.utils
import torch
from mmengine.config import Config, DictAction
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.device import get_device
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from .checkpoints import use_safe_loaders
from .config import adapt_to_cpu, move_data
from .errors import UserError, describe_error
from .tasks import require_library
from .toy.config import use_toy_data
from .training.allocator import keep_freed_memory
from .training.console import shorten_console
from .training.default_hooks import add_default_hooks
from .training.processes import find_rank, is_first_process, start_process_group, use_new_store

_ADVICE: dict[int | None, str] = {
    errno.ENOSPC: 'make room, then repeat the command',
    errno.EDQUOT: 'make room, then repeat the command',
    errno.EMFILE: 'raise the limit by `ulimit -n 65536`',
    errno.ENFILE: 'raise the limit by `ulimit -n 65536`',
}
# Errors that need no file's name to be understood.
_OF_DISKS = {*_ADVICE, errno.EIO, errno.ESTALE, errno.EROFS}


def make_parser(description: str, examples: str) -> argparse.ArgumentParser:
    """A parser whose `--help` keeps the line breaks of both texts."""
    return argparse.ArgumentParser(
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_option_arguments(parser: argparse.ArgumentParser, toy: str) -> None:
    """Adds `--toy`, with `toy` as its help, and `--cfg-options`."""
    parser.add_argument('--toy', action='store_true', help=toy)
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        default={},
        help='override settings of the config, e.g. train_dataloader.batch_size=4',
    )


def add_amp_argument(parser: argparse.ArgumentParser, verb: str) -> None:
    """Adds `--amp`, for tools that `verb` in mixed precision."""
    parser.add_argument(
        '--amp',
        action='store_true',
        help=f'{verb} in mixed precision: float16 on a GPU, bfloat16 on a CPU that multiplies it',
    )


def add_device_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--device`, for tools that run a model; `get_device` returns what it says."""
    parser.add_argument(
        '--device',
        type=_use_device,
        help='cpu, cuda or cuda:1; by default a GPU, if any',
    )


def _use_device(name: str) -> str:
    """Makes a device that of mmengine's Runner and of all that asks `get_device`."""
    try:
        torch.zeros(1, device=name).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).partition('\n')[0]
        raise argparse.ArgumentTypeError(f'{name} cannot be used: {reason}') from None
    device = torch.device(name)
    if device.type == 'cuda':
        torch.cuda.set_device(device)
    mmengine.device.utils.DEVICE = device.type
    return name


def add_data_root_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--data-root`, for tools that read the data sets of a config."""
    parser.add_argument(
        '--data-root',
        metavar='DIR',
        help="where the data is, instead of the config's data_root, e.g. "
        '/data/coco; applies to data loaders and evaluators',
    )


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that OpenMMLab's tools share, `--toy` and `--data-root`."""
    add_option_arguments(parser, 'run on generated toy data, in minutes on a laptop')
    add_data_root_argument(parser)
    parser.add_argument(
        '--work-dir', metavar='DIR', help='where results go; by default work_dirs/<config name>'
    )
    add_device_argument(parser)
    add_launcher_argument(parser)
    parser.add_argument(
        '--local-rank',
        '--local_rank',
        type=int,
        default=0,
        help=argparse.SUPPRESS,  # set by old launchers
    )


def add_launcher_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--launcher`, for tools that several processes can share."""
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='what started the processes; "pytorch" is torchrun',
    )


def check_count(flag: str, number: int, least: int = 1) -> None:
    """Refuses a number that is too small.

    Raises:
        UserError: It is below `least`.
    """
    if number < least:
        raise UserError(f'{flag} {number}: pass {least} or more')


def check_output(path: Path | str, flag: str = '--out', is_file: bool = False) -> None:
    """Refuses, before any work, a folder or a file that can't be written; creates nothing.

    Raises:
        UserError: It can't be written; the message says why.
    """
    path = Path(path)
    if is_file and path.is_dir():
        raise UserError(f'{path} is a folder: {flag} names the file to write')
    folder = path.absolute().parent if is_file else path.absolute()
    folder = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b'-')
    except OSError as error:
        reason = f'{folder}: {error.strerror}'
        if not folder.is_dir():
            kind = 'a file, not a folder' if folder.exists() else 'a link that leads nowhere'
            reason = f'{folder} is {kind}'
        raise UserError(f'{flag} {path} cannot be written: {reason}') from None


def load_config(
    path: str, options: dict | None = None, toy: bool = False, data_root: str | None = None
) -> Config:
    """Loads a config, applies the user's options and switches to the requested data.

    Args:
        path: The config file.
        options: Settings that override all others, by dotted key.
        toy: Whether to replace the data with toy data.
        data_root: Where the data is, if not in the config's `data_root`.

    Raises:
        UserError: The file doesn't exist, its library is missing, or the data can't be replaced.
    """
    if toy and data_root is not None:
        raise UserError('--toy uses its own data: drop either --data-root or --toy')
    if not Path(path).is_file():
        raise UserError(f'Config not found: {path}')
    # For `mmseg::` in `_base_`, the maintained forks look up upstream's distribution instead of
    # their own; looking up the module's own name works with both.
    MODULE2PACKAGE['mmseg'] = 'mmseg'
    cfg = Config.fromfile(path)
    require_library(cfg)
    if data_root is not None:
        move_data(cfg, data_root)
    cfg.merge_from_dict(options or {})
    if toy:
        use_toy_data(cfg)
        # Again, because the user's options take precedence.
        cfg.merge_from_dict(options or {})
    return cfg


def prepare_run(args: argparse.Namespace, split: str) -> Config:
    """Loads the config with the flags of `add_config_arguments`, to run `split`, e.g. 'train'.

    Raises:
        UserError: The config has no data loader for `split`; see also `load_config`.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    launcher = find_rank(args.launcher)
    cfg = load_config(args.config, args.cfg_options, args.toy, args.data_root)
    if not cfg.get(f'{split}_dataloader'):
        raise UserError(f'{args.config} has no {split}_dataloader')
    cfg.launcher = launcher
    add_default_hooks(cfg)
    name, notes = Path(args.config).stem, []
    if args.toy:
        name += '_toy'
        notes.append(
            'Toy data, toy schedule, random weights: the results show whether this config '
            'runs and learns, not how good it is.'
        )
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or f'work_dirs/{name}'
    check_output(cfg.work_dir, '--work-dir')
    if get_device() == 'cpu':
        notes += adapt_to_cpu(cfg)
    if notes and is_first_process():
        print(*notes, sep='\n')
    return cfg


def build_runner(cfg: Config) -> Runner:
    """Builds mmengine's Runner, or the runner type that the config asks for."""
    if get_device() == 'cpu':
        start_process_group(cfg.launcher)
    elif cfg.launcher != 'none':
        use_new_store()  # mmengine starts the group
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    shorten_console(runner.logger)
    return runner


def _let_others_report(seconds: float) -> None:
    """Waits before an error is reported, and longer if another process of the machine reports it.

    When a process has ended, the launcher ends the others. So an error that all processes have is
    reported by the first alone, and a broken connection only by the process that broke it.
    """
    if 'RANK' in os.environ:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # torchrun's way to end it
        time.sleep(seconds + 10 * (os.environ.get('LOCAL_RANK', '0') != '0'))


def _point_to_doctor(kind: type, *error: Any) -> None:
    """Shows an unexpected error and points to the doctor."""
    _let_others_report(seconds=5)
    sys.__excepthook__(kind, *error)
    if issubclass(kind, Exception):
        print('\nTo check the installation:  python -m twins_mm.doctor', file=sys.stderr)


def _explain(error: Exception) -> UserError | None:
    """What a user can do about an error; None if that is unknown."""
    of_files = _explain_files(error) if isinstance(error, OSError) else None
    return of_files or _explain_config(error)


def _explain_files(error: OSError) -> UserError | None:
    """What is wrong with a file, a folder or a disk; None for errors of another kind."""
    if error.filename is None and error.errno not in _OF_DISKS:
        return None
    names = [str(name) for name in (error.filename, error.filename2) if name is not None]
    parts = ' -> '.join(names), error.strerror, _ADVICE.get(error.errno)
    return UserError(': '.join(filter(None, parts)))


def _explain_config(error: Exception) -> UserError | None:
    """What is wrong with a config; None for other errors, and in Python's development mode."""
    frames = traceback.extract_tb(error.__traceback__)
    if sys.flags.dev_mode or not any(map(_builds, frames)):
        return None
    if any('importlib' in frame.filename for frame in frames):  # a broken library
        return None
    reason, last = describe_error(error), frames[-1]
    if not str(error) or last.name == '<module>':  # the config's own code
        reason += f' ({last.filename}, line {last.lineno})'
    return UserError(
        f'The config does not work: {reason}\n'
        'For the traceback, run the same command with `python -X dev`'
    )


def _builds(frame: traceback.FrameSummary) -> bool:
    """Whether a frame reads a config, or builds something from it."""
    return frame.name in ('load_config', 'prepare_run') or (
        f'mmengine{os.sep}' in frame.filename and frame.name.startswith(('build_', 'from_cfg'))
    )


def _stop(reason: str) -> NoReturn:
    """Ends a tool that Ctrl+C stopped; a second Ctrl+C doesn't wait for what is still closed."""
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    if is_first_process():
        print(f'\nStopped. {reason}'.rstrip(), file=sys.stderr)
    sys.exit(130)


def tool(main: Callable[[], None]) -> Callable[[], None]:
    """Makes `main` exit with one message and status 1 on errors that the user can fix.

    `main` raises `KeyboardInterrupt(TEXT)` to say how to go on after Ctrl+C.
    """

    @functools.wraps(main)
    def run() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.excepthook = _point_to_doctor
        # mmseg warns about its own code; what it says of label maps in colour stays.
        warnings.filterwarnings('ignore', module=r'mmseg\.(?!datasets\.transforms\.formatting)')
        # mmengine draws as much of a box as there is.
        warnings.filterwarnings('ignore', message=r'Warning: The \w+ is out of bounds')
        # What OpenCV says of damaged files, we say with their names.
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        keep_freed_memory()
        use_safe_loaders()
        try:
            main()
            sys.stdout.flush()
        except KeyboardInterrupt as stop:
            _stop(str(stop))
        except BrokenPipeError:  # what reads our output, such as `head`, has ended
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        except Exception as error:
            known = error if isinstance(error, UserError) else _explain(error)
            if known is None:
                raise
            _let_others_report(seconds=0)
            sys.exit(f'\nerror: {known}')

    return run
