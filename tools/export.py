"""Exports a trained model to ONNX, and checks it against PyTorch at once."""
import argparse
import os
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from twins_mm.cli import add_option_arguments, load_config, make_parser, tool
from twins_mm.errors import UserError

EXAMPLES = """examples:
  python tools/export.py configs/retinanet_twins_svt_s_1x.py CHECKPOINT --out retinanet.onnx
  python tools/export.py configs/upernet_twins_svt_s_160k.py CHECKPOINT --out upernet.onnx --int8

Segmentors are exported whole, from the image to the class map; RetinaNet to the boxes that
suppression leaves; of Mask R-CNN and other two-stage detectors, backbone and FPN. The image is
uint8, (B, 3, H, W), BGR as OpenCV reads it, at the size that the model is to see, 64 x 64 or more;
normalisation and padding are inside.
"""
# What to do where rounding to a precision changes too much.
ADVICE = dict(
    float32='Please report it, with the config',
    float16='Values beyond 65504 overflow in float16: export without --half',
    int8='Export with --half or in float32; if you checked with images that the model is not for, '
         'check with one that it is for: --image FILE')


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__, EXAMPLES)
    parser.add_argument('config', help='the config that the checkpoint was trained with')
    parser.add_argument('checkpoint', help='a file, a URL, or hf://ORG/NAME')
    parser.add_argument('--out', type=Path, required=True, metavar='MODEL.onnx',
                        help='the file to write')
    precision = parser.add_mutually_exclusive_group()
    precision.add_argument('--half', dest='precision', action='store_const', const='float16',
                           default='float32',
                           help='the network in float16; normalisation and boxes in float32')
    precision.add_argument('--int8', dest='precision', action='store_const', const='int8',
                           help='the linear layers in int8')
    parser.add_argument('--image', metavar='FILE',
                        help='check with this image and its mirror image; by default with drawn '
                             'shapes, which only suit models that detect something in them')
    add_option_arguments(parser, 'time at the scale of toy data')
    return parser.parse_args()


def check_requirements(out: Path) -> None:
    """Says what is missing before minutes are spent.

    Raises:
        UserError: A package is missing, torch is too old, or `out` can't be written.
    """
    try:
        import twins_mm.export  # noqa: F401
    except ImportError as error:
        raise UserError(str(error)) from None
    if out.is_dir():
        raise UserError(f'{out} is a folder: --out names the file to write')
    folder = next(parent for parent in out.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UserError(f'{out} cannot be written: {folder} is no folder that you may write to')


def show_rows(rows: list[dict], limit: float) -> None:
    table = Table(title=f'ONNX compared with PyTorch; up to {limit:.0%} may differ')
    for name in rows[0]:
        table.add_column(name, justify='right')
    for row in rows:
        table.add_row(*(f'{value:.3%}' if name == 'differing' else f'{value:.2g}'
                        if isinstance(value, float) else str(value)
                        for name, value in row.items()))
    Console().print(table)


@tool
def main() -> None:
    args = parse_args()
    check_requirements(args.out)
    from twins_mm.checkpoints.trained import load_model
    from twins_mm.export.comparison import (
        LIMITS,
        SIZES,
        OnnxModel,
        answer,
        check,
        find_test_size,
        read_images,
        stack,
        time_side_by_side,
    )
    from twins_mm.export.deployable import make_deployable
    from twins_mm.export.metadata import describe_export
    from twins_mm.export.onnx_file import export, quantize

    cfg = load_config(args.config, args.cfg_options, args.toy)
    images = read_images(args.image)
    model = load_model(cfg, args.checkpoint)
    deployable = make_deployable(model)
    size = find_test_size(cfg, images[0])
    cases = answer(model, deployable, images, [*SIZES, size])
    if args.precision == 'float16':
        deployable.model.half()
    outputs = list(deployable.outputs)
    with Console(stderr=True).status('Exporting: a minute or a few'):
        export(deployable, outputs, args.out, metadata=describe_export(model))
        if args.precision == 'int8':
            quantize(args.out)
    print(f'\n{args.out}: {args.out.stat().st_size / 2**20:.0f} MiB, {args.precision}'
          '\n  image: uint8, (B, 3, H, W), BGR, from 64 x 64 pixels')
    for name, text in deployable.outputs.items():
        print(f'  {name}: {text}')

    exported = OnnxModel(args.out)
    rows = check(cases, outputs, exported)
    limit = LIMITS[args.precision]
    show_rows(rows, limit)

    inputs = stack(images[:1], size)
    with torch.no_grad():
        theirs, ours = time_side_by_side([
            lambda: deployable.expected(model, inputs), lambda: exported(inputs)])
    print(f'An image of {size[0]} x {size[1]} on {torch.get_num_threads()} CPU threads: PyTorch '
          f'{theirs * 1e3:.0f} ms, onnxruntime {ours * 1e3:.0f} ms')
    if (worst := max(row['differing'] for row in rows)) > limit:
        raise UserError(f'{args.out} is not the model: up to {worst:.2%} {deployable.differing} '
                        f'differ, more than the {limit:.0%} that rounding to {args.precision} may '
                        f'change. {ADVICE[args.precision]}. The file was kept')


if __name__ == '__main__':
    main()
