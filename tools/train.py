"""Trains a detector, a segmentor or a classifier."""

import argparse
import sys
from pathlib import Path

import _ctrl_c  # noqa: F401

try:
    from mmengine.config import Config
    from mmengine.device import get_device
    from mmengine.runner import Runner, find_latest_checkpoint

    from twins_mm.cli import (
        add_amp_argument,
        add_config_arguments,
        build_runner,
        make_parser,
        prepare_run,
        tool,
    )
    from twins_mm.config import (
        accumulative_counts,
        adapt_to_cpu,
        batch_size,
        check_mixed_precision,
        check_pretrained,
        describe_batch,
    )
    from twins_mm.data.in_place import check_data
    from twins_mm.errors import UserError
    from twins_mm.training.locking import lock_work_dir
    from twins_mm.training.resuming import list_checkpoints, set_resume
except (ImportError, OSError) as error:
    sys.exit(f'error: {error}\nTo find the cause and a fix:  python -m twins_mm.doctor')

EXAMPLES = """examples:
  python tools/train.py configs/retinanet_twins_svt_s_1x.py --toy       # minutes, no GPU, no data
  python tools/train.py configs/retinanet_twins_svt_s_1x.py --amp --auto-scale-lr    # one GPU
  torchrun --nproc_per_node 8 tools/train.py configs/retinanet_twins_svt_s_1x.py --launcher pytorch
  srun --nodes 1 --ntasks-per-node 8 --gres gpu:8 python tools/train.py CONFIG --launcher slurm
"""


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__, EXAMPLES)
    parser.add_argument('config', help='an mmdet, mmseg or mmpretrain config, ours or your own')
    add_amp_argument(parser, 'train')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate to the actual batch size',
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='resume from a checkpoint, by default the latest in the working directory',
    )
    add_config_arguments(parser)
    return parser.parse_args()


def apply_flags(cfg: Config, args: argparse.Namespace) -> None:
    if args.amp:
        check_mixed_precision()
        cfg.optim_wrapper.update(type='AmpOptimWrapper', loss_scale='dynamic')
        if get_device() == 'cpu':
            adapt_to_cpu(cfg)
    if args.auto_scale_lr:
        if 'base_batch_size' not in (cfg.get('auto_scale_lr') or {}):
            raise UserError(
                '--auto-scale-lr needs the batch size that the learning rate is for: '
                'add auto_scale_lr = dict(base_batch_size=...) to the config'
            )
        cfg.auto_scale_lr.enable = True
    set_resume(cfg, args.resume)


def fit_learning_rate(cfg: Config, runner: Runner) -> None:
    """Scales the learning rate to the batch size, or warns if they don't match."""
    scale = cfg.get('auto_scale_lr') or {}
    base = scale.get('base_batch_size')
    if base and scale.get('enable'):
        # mmengine compares this with the batch size of one iteration.
        runner.auto_scale_lr = dict(scale, base_batch_size=base / accumulative_counts(cfg))
    elif base and base != batch_size(cfg, runner.world_size):
        runner.logger.warning(
            f'The batch size is {describe_batch(cfg, runner.world_size)}, but the learning rate is '
            f'for {base}. Use --auto-scale-lr to scale it.'
        )


@tool
def main() -> None:
    args = parse_args()
    cfg = prepare_run(args, 'train')
    apply_flags(cfg, args)
    check_data(cfg, 'train', 'val')
    check_pretrained(cfg)
    lock_work_dir(cfg)
    runner = build_runner(cfg)
    fit_learning_rate(cfg, runner)
    try:
        runner.train()
    except KeyboardInterrupt:
        saved = next(iter(list_checkpoints(runner.work_dir)), None)
        raise KeyboardInterrupt(
            f'To go on from {saved}: the same command with --resume'
            if saved
            else 'There is no checkpoint yet to resume from.'
        ) from None
    if runner.rank == 0:
        pictures = Path(runner.log_dir, 'vis_data', 'vis_image')
        checkpoint = find_latest_checkpoint(runner.work_dir)
        print(f'\nDone.\n  checkpoint: {checkpoint}\n  log:        {runner.log_dir}')
        best = runner.message_hub.runtime_info.get('best_ckpt')
        if best:
            print(f'  best:       {best}')
        if pictures.is_dir():
            print(f'  pictures:   {pictures}')
        data = ' --toy' if args.toy else f' --data-root {args.data_root}' if args.data_root else ''
        test = Path(sys.argv[0]).with_name('test.py')
        print(
            f'Next:\n  python {test} {args.config} {best or checkpoint}{data} '
            f'--show-dir {runner.work_dir}/pictures'
        )


if __name__ == '__main__':
    main()
