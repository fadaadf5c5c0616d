"""Exports a trained model to ONNX and compares it with the model in PyTorch."""

import argparse
from pathlib import Path

import _ctrl_c  # noqa: F401
import torch
from rich.console import Console

from twins_mm.cli import (
    add_data_root_argument,
    add_option_arguments,
    check_output,
    load_config,
    make_parser,
    tool,
)
from twins_mm.data.in_place import check_data
from twins_mm.errors import UserError
from twins_mm.report.text_table import format_table

EXAMPLES = """examples:
  python tools/export.py configs/retinanet_twins_svt_s_1x.py CHECKPOINT --out retinanet.onnx
  python tools/export.py configs/mask_rcnn_twins_svt_s_1x.py CHECKPOINT --out mask_rcnn.onnx
  python tools/export.py configs/upernet_twins_svt_s_160k.py CHECKPOINT --out upernet.onnx --int8 \
      --evaluate

A segmentor is exported from the image to the class map; RetinaNet, Faster R-CNN and Mask R-CNN
from the image to boxes and masks; of other two-stage detectors, only backbone and FPN. The image is
uint8, (B, 3, H, W), BGR as OpenCV reads it, resized as the model expects it, 64 x 64 or more.
Normalisation and padding are part of the file.
"""
# What to do where rounding to a precision changes too much.
ADVICE = dict(
    float32='Please report it, with the config',
    float16='Values beyond 65504 overflow in float16: export without --half; --evaluate says '
    'what it costs in accuracy',
    int8='Export with --half or in float32; --evaluate says what int8 costs in accuracy; if the '
    'images were unlike those that the model is trained for, check with one that is like '
    'them: --image FILE',
)


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__, EXAMPLES)
    parser.add_argument('config', help='the config that the checkpoint was trained with')
    parser.add_argument('checkpoint', help='a file, a URL, or hf://ORG/NAME')
    parser.add_argument(
        '--out', type=Path, required=True, metavar='MODEL.onnx', help='the file to write'
    )
    precision = parser.add_mutually_exclusive_group()
    precision.add_argument(
        '--half',
        dest='precision',
        action='store_const',
        const='float16',
        default='float32',
        help='the network in float16; normalisation and boxes in float32',
    )
    precision.add_argument(
        '--int8',
        dest='precision',
        action='store_const',
        const='int8',
        help='the linear layers in int8',
    )
    parser.add_argument(
        '--image',
        metavar='FILE',
        help='check with this image and its mirror image; by default with drawn '
        'shapes, in which a detector may detect nothing',
    )
    parser.add_argument(
        '--evaluate',
        action='store_true',
        help="also run the file and PyTorch on the config's validation set, and "
        'print what the metrics lose; with --half and --int8, this replaces '
        'the limit to how much may differ',
    )
    add_option_arguments(parser, 'evaluate on toy data, check and time at its image size')
    add_data_root_argument(parser)
    return parser.parse_args()


def check_requirements(out: Path) -> None:
    """Finds what is missing before the export, which takes minutes.

    Raises:
        UserError: A package is missing, torch is too old, or `out` can't be written.
    """
    try:
        import twins_mm.export  # noqa: F401
    except ImportError as error:
        raise UserError(str(error)) from None
    check_output(out, is_file=True)


def show_rows(rows: list[dict], limit: float) -> None:
    head = list(dict.fromkeys(name for row in rows for name in row))
    print(f'\nONNX compared with PyTorch; up to {limit:.0%} may differ')
    print(
        format_table(
            head,
            [[format_cell(name, row.get(name, '')) for name in head] for row in rows],
            markdown=False,
        ),
        end='\n\n',
    )


def show_metrics(theirs: dict[str, float], ours: dict[str, float]) -> None:
    """A file that detects nothing has no metrics."""
    rows = [
        [name, *(f'{value:.2f}' for value in (one, other, one - other))]
        for name, one in theirs.items()
        for other in [ours.get(name, 0.0)]
    ]
    print('On the validation set')
    print(format_table(['metric', 'PyTorch', 'ONNX', 'lost'], rows, markdown=False), end='\n\n')


def format_cell(name: str, value: float | int | str) -> str:
    if name == 'differing':
        return f'{value:.3%}'
    return f'{value:.2g}' if isinstance(value, float) else str(value)


@tool
def main() -> None:
    args = parse_args()
    check_requirements(args.out)
    from twins_mm.benchmark.timing import time_side_by_side
    from twins_mm.checkpoints.load_model import load_model
    from twins_mm.export.comparison import (
        LIMITS,
        SIZES,
        OnnxModel,
        check,
        find_test_size,
        is_within,
        read_images,
        reference_outputs,
        stack,
    )
    from twins_mm.export.evaluation import check_evaluation, evaluate, predict_with
    from twins_mm.export.make_deployable import make_deployable
    from twins_mm.export.metadata import describe_export
    from twins_mm.export.onnx_file import export, quantize

    cfg = load_config(args.config, args.cfg_options, args.toy, args.data_root)
    images = read_images(args.image)
    model = load_model(cfg, args.checkpoint)
    deployable = make_deployable(model)
    if args.evaluate:
        check_evaluation(cfg, deployable)
        check_data(cfg, 'val')
    size = find_test_size(cfg, images[0])
    references = reference_outputs(model, deployable, images, [*SIZES, size])
    if args.precision == 'float16':
        deployable.model.half()
    names = list(deployable.outputs)
    with Console(stderr=True).status('Exporting: takes a minute or more'):
        export(deployable, names, args.out, metadata=describe_export(deployable))
        if args.precision == 'int8':
            quantize(args.out)
    print(
        f'\n{args.out}: {args.out.stat().st_size / 2**20:.0f} MiB, {args.precision}'
        '\n  image: uint8, (B, 3, H, W), BGR, from 64 x 64 pixels'
    )
    for name, text in deployable.outputs.items():
        print(f'  {name}: {text}')

    exported = OnnxModel(args.out)
    rows = check(references, names, exported)
    limit = LIMITS[args.precision]
    show_rows(rows, limit)

    inputs = stack(images[:1], size)
    with torch.no_grad():
        theirs, ours = time_side_by_side(
            [lambda: deployable.expected(model, inputs), lambda: exported(inputs)]
        )
    print(
        f'An image of {size[0]} x {size[1]} on {torch.get_num_threads()} CPU threads: PyTorch '
        f'{theirs * 1e3:.0f} ms, onnxruntime {ours * 1e3:.0f} ms'
    )
    if args.evaluate:
        show_metrics(
            evaluate(cfg, model.test_step, 'PyTorch'),
            evaluate(cfg, predict_with(exported, deployable), str(args.out)),
        )
        if args.precision != 'float32':
            return
    if beyond := [row['differing'] for row in rows if not is_within(row, limit)]:
        raise UserError(
            f'{args.out} is not the model: up to {max(beyond):.2%} '
            f'{deployable.differing} differ, more than the {limit:.0%} that rounding '
            f'to {args.precision} may change. {ADVICE[args.precision]}. The file was '
            'kept'
        )


if __name__ == '__main__':
    main()
