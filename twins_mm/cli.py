"""What the command lines share: flags, reading a config, and how an error is told."""
import argparse
import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path

from mmengine.config import Config, DictAction
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.device import get_device
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from .config import fit_to_cpu, move_data
from .errors import UserError
from .toy.toy_config import use_toy_data


def make_parser(description: str, examples: str) -> argparse.ArgumentParser:
    """A parser whose `--help` shows both as they were written."""
    return argparse.ArgumentParser(
        description=description, epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter)


def add_option_arguments(parser: argparse.ArgumentParser, toy: str) -> None:
    """Adds `--toy`, with what it is for, and `--cfg-options`."""
    parser.add_argument('--toy', action='store_true', help=toy)
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE',
                        default={}, help='settings that override those of the config, e.g. '
                                         'train_dataloader.batch_size=4')


def add_data_root_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--data-root`, for tools that read the data sets of a config."""
    parser.add_argument('--data-root', metavar='DIR',
                        help="where the data is, in place of the config's data_root, e.g. "
                             '/data/coco; for data loaders and evaluators alike')


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that OpenMMLab's tools share, `--toy` and `--data-root`."""
    add_option_arguments(parser, 'run on toy data, which is made at once, in minutes on a laptop')
    add_data_root_argument(parser)
    parser.add_argument('--work-dir', metavar='DIR',
                        help='where results go; by default work_dirs/<name of the config>')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none',
                        help='how several processes were started; "pytorch" with torchrun')
    parser.add_argument('--local-rank', '--local_rank', type=int, default=0,
                        help='passed by old launchers; not for you')


def load_config(path: str, options: dict | None = None, toy: bool = False,
                data_root: str | None = None) -> Config:
    """The config in a file, with the user's options, and on the data that is asked for.

    Args:
        path: The file.
        options: Settings that override all others, by their dotted keys.
        toy: Whether to replace the data by toy data.
        data_root: Where the data is, if not in the config's `data_root`.

    Raises:
        UserError: There is no such file, or the data can't be replaced.
    """
    if toy and data_root is not None:
        raise UserError('--toy has data of its own: leave out --data-root, or --toy')
    if not Path(path).is_file():
        raise UserError(f'There is no config {path}')
    # For `mmseg::` in `_base_`, the maintained forks ask for upstream's distribution, which they
    # are not; the module's own name is found under both.
    MODULE2PACKAGE['mmseg'] = 'mmseg'
    cfg = Config.fromfile(path)
    if data_root is not None:
        move_data(cfg, data_root)
    cfg.merge_from_dict(options or {})
    if toy:
        use_toy_data(cfg)
        # Once more, because the user's word comes last.
        cfg.merge_from_dict(options or {})
    return cfg


def prepare_run(args: argparse.Namespace, split: str) -> Config:
    """The config that the flags of `add_config_arguments` ask for, to run `split`, e.g. 'train'.

    Raises:
        UserError: It has no data loader for `split`; and see `load_config`.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = load_config(args.config, args.cfg_options, args.toy, args.data_root)
    if not cfg.get(f'{split}_dataloader'):
        raise UserError(f'{args.config} has no {split}_dataloader')
    cfg.launcher = args.launcher
    name = Path(args.config).stem
    if args.toy:
        name += '_toy'
        print('Toy data, toy schedule, random weights: the figures say whether this config runs '
              'and learns, not how good it is.')
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or f'work_dirs/{name}'
    if get_device() == 'cpu':
        for note in fit_to_cpu(cfg):
            print(note)
    return cfg


def build_runner(cfg: Config) -> Runner:
    """mmengine's Runner, or the kind of runner that the config asks for."""
    return RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)


def _point_to_doctor(kind: type, *error) -> None:
    """Shows an error that nobody foresaw, and where to look for its cause."""
    sys.__excepthook__(kind, *error)
    if issubclass(kind, Exception):
        print('\nIs it the installation?  python -m twins_mm.doctor', file=sys.stderr)


def tool(main: Callable[[], None]) -> Callable[[], None]:
    """Makes `main` end with one message and exit status 1 where the user can fix the fault."""
    @functools.wraps(main)
    def run() -> None:
        sys.excepthook = _point_to_doctor
        try:
            main()
        except UserError as error:
            sys.exit(f'\nerror: {error}')
    return run
