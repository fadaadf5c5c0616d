"""Exports a trained model to ONNX, and checks it against PyTorch at once."""
import argparse
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
                        help='check with this image instead of toy scenes, in which a trained '
                             'detector may see nothing')
    add_option_arguments(parser, 'time at the scale of toy data')
    return parser.parse_args()


def import_deployment() -> None:
    """Says what to install, where it is missing."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(f'Exporting needs {error.name}: '
                        'pip install onnx onnxscript onnxruntime') from None


def show_rows(rows: list[dict], limit: float) -> None:
    table = Table(title=f'ONNX beside PyTorch; up to {limit:.1%} may differ')
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
    import_deployment()
    from twins_mm.deployment import tensorrt
    from twins_mm.deployment.check import (
        LIMITS,
        OnnxModel,
        check,
        find_test_size,
        read_images,
        stack,
        time_side_by_side,
    )
    from twins_mm.deployment.deployable import load_model, make_deployable
    from twins_mm.deployment.onnx_export import export, quantize

    cfg = load_config(args.config, args.cfg_options, args.toy)
    images = read_images(args.image)
    model = load_model(cfg, args.checkpoint)
    deployable = make_deployable(model, cfg.model.data_preprocessor)
    if args.precision == 'float16':
        deployable.model.half()
    with Console(stderr=True).status('Exporting: a minute or a few'):
        export(deployable, list(deployable.outputs), args.out)
        if args.precision == 'int8':
            quantize(args.out)
    print(f'\n{args.out}: {args.out.stat().st_size / 2**20:.0f} MiB, {args.precision}'
          '\n  image: uint8, (B, 3, H, W), BGR, from 64 x 64 pixels')
    for name, text in deployable.outputs.items():
        print(f'  {name}: {text}')

    exported = OnnxModel(args.out)
    rows = check(model, deployable, exported, images)
    show_rows(rows, LIMITS[args.precision])
    if not any(row.get('detections', 1) for row in rows):
        print('Nothing was detected, so boxes were not compared: --image FILE')

    size = find_test_size(cfg)
    inputs = stack(images[:1], size)
    with torch.no_grad():
        theirs, ours = time_side_by_side([
            lambda: deployable.expected(model, inputs), lambda: exported(inputs)])
    print(f'An image of {size[0]} x {size[1]} on {torch.get_num_threads()} CPU threads: PyTorch '
          f'{theirs * 1e3:.0f} ms, onnxruntime {ours * 1e3:.0f} ms')
    if tensorrt.is_installed():
        engine = tensorrt.build_engine(args.out, size, args.precision == 'float16')
        seconds = tensorrt.time_engine(engine, inputs)
        print(f'{engine}: {seconds * 1e3:.1f} ms in TensorRT')
    else:
        print(tensorrt.INSTALL)
    if (worst := max(row['differing'] for row in rows)) > LIMITS[args.precision]:
        raise UserError(f'{args.out} is not the model: {worst:.2%} differ. It was kept, to look at')


if __name__ == '__main__':
    main()
