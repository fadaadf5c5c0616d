"""Evaluates a detector, a segmentor or a classifier."""

import argparse
import os
from pathlib import Path

import _ctrl_c  # noqa: F401
from mmengine.config import Config, ConfigDict

from twins_mm.cli import (
    add_amp_argument,
    add_config_arguments,
    build_runner,
    check_output,
    make_parser,
    prepare_run,
    tool,
)
from twins_mm.config import check_mixed_precision, data_sets, walk
from twins_mm.data.in_place import check_data
from twins_mm.errors import UserError
from twins_mm.tasks import task_of
from twins_mm.training.mixed_precision import mixed_precision

EXAMPLES = """examples:
  python tools/test.py configs/upernet_twins_svt_s_160k.py CHECKPOINT --tta    # paper's scales
  python tools/test.py configs/retinanet_twins_svt_s_1x.py CHECKPOINT --show-dir pictures
"""


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__, EXAMPLES)
    parser.add_argument('config', help='the config that the checkpoint was trained with')
    parser.add_argument('checkpoint', help='a file, a URL, or hf://ORG/NAME')
    parser.add_argument(
        '--out',
        metavar='PATH',
        help="save the predictions: a segmentor's as label PNGs in this folder, "
        "others' in this .pkl file",
    )
    parser.add_argument(
        '--show-dir',
        metavar='DIR',
        help='save pictures of ground truth and prediction, side by side, in this '
        "folder; of several processes, the first one's",
    )
    parser.add_argument(
        '--tta', action='store_true', help="test-time augmentation: the config's scales and flips"
    )
    add_amp_argument(parser, 'evaluate')
    add_config_arguments(parser)
    return parser.parse_args()


def apply_flags(cfg: Config, args: argparse.Namespace) -> None:
    cfg.load_from = args.checkpoint
    cfg.default_hooks.checkpoint_fit = dict(type='CheckpointFitHook', heads=True)
    if args.show_dir:
        if not cfg.default_hooks.get('visualization'):
            raise UserError(f'{args.config} has no default_hooks.visualization to draw')
        task = task_of(cfg)
        own = cfg.default_hooks.visualization
        own.update({**task.visualization, 'type': own.type, 'interval': 1})
        cfg.merge_from_dict({task.pictures_option: os.path.abspath(args.show_dir)})
    if args.out and not task_of(cfg).dump_metric:
        find_label_writer(cfg).update(output_dir=args.out, keep_results=True)
    elif args.out and not args.out.endswith('.pkl'):
        raise UserError(
            f'--out {args.out}: predictions of {task_of(cfg).models} go into a .pkl file'
        )
    if args.amp:
        check_mixed_precision()
        cfg.test_cfg.fp16 = True  # else mmengine switches it off again
    if args.tta:
        if not cfg.get('tta_model') or not cfg.get('tta_pipeline'):
            raise UserError(f'{args.config} has no tta_model and tta_pipeline')
        cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)
        for data_set in data_sets(cfg.test_dataloader):
            data_set['pipeline'] = cfg.tta_pipeline


def find_label_writer(cfg: Config) -> dict:
    """The config of the first metric that can write label maps."""
    for node in walk(cfg.test_evaluator):
        if node.get('type', '').endswith(('IoUMetric', 'CityscapesMetric')):
            return node
    raise UserError(
        "--out: a segmentor's labels are written by IoUMetric or CityscapesMetric, and "
        'test_evaluator has neither'
    )


@tool
def main() -> None:
    args = parse_args()
    cfg = prepare_run(args, 'test')
    if '://' not in args.checkpoint and not Path(args.checkpoint).is_file():
        raise UserError(f'Checkpoint not found: {args.checkpoint}')
    if args.out:
        check_output(args.out, is_file=bool(task_of(cfg).dump_metric))
    if args.show_dir:
        check_output(args.show_dir, '--show-dir')
    apply_flags(cfg, args)
    check_data(cfg, 'test')
    runner = build_runner(cfg)
    if args.out and (dump := task_of(cfg).dump_metric):
        runner.test_evaluator.metrics.append(dump(args.out))
    with mixed_precision(runner.model, args.amp):
        runner.test()
    for name, path in (('pictures', args.show_dir), ('predictions', args.out)):
        if path and runner.rank == 0:
            print(f'{name}: {path}')


if __name__ == '__main__':
    main()
