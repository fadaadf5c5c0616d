"""Draws a backbone's feature pyramid, and where points of an image attend in each stage."""

import argparse
from pathlib import Path

import _ctrl_c  # noqa: F401
import cv2
import mmcv
from matplotlib.backend_bases import FigureCanvasBase
from mmengine.device import get_device

from twins_mm.cli import (
    add_device_argument,
    add_option_arguments,
    check_output,
    load_config,
    make_parser,
    tool,
)
from twins_mm.errors import UserError
from twins_mm.files.atomic_write import replacing
from twins_mm.files.images import read_image
from twins_mm.inference.attention import trace_attention
from twins_mm.inference.attention_figure import draw_attention
from twins_mm.inference.backbone_input import load_backbone, prepare_image

EXAMPLES = """examples:
  python tools/visualize.py configs/upernet_twins_svt_s_160k.py CHECKPOINT street.jpg
  python tools/visualize.py configs/upernet_twins_svt_s_160k.py hf://timm/twins_svt_small.in1k \\
      street.jpg --point 320,200 40,460 --out street.pdf
"""


def parse_point(text: str) -> tuple[float, float]:
    x, y = map(float, text.split(','))
    return x, y


parse_point.__name__ = 'point'


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__, EXAMPLES)
    parser.add_argument('config', help="the config of the backbone's model")
    parser.add_argument(
        'checkpoint',
        help='weights of the model or of its backbone, such as '
        'ImageNet weights: a file, a URL, or hf://ORG/NAME',
    )
    parser.add_argument('image', type=Path)
    parser.add_argument(
        '--point',
        nargs='+',
        type=parse_point,
        metavar='X,Y',
        default=[],
        help="points to draw attention for, in pixels; by default the image's centre",
    )
    parser.add_argument(
        '--out',
        type=Path,
        metavar='FILE',
        default=Path('attention.png'),
        help='output file, .png, .pdf or .svg (default: %(default)s)',
    )
    add_device_argument(parser)
    add_option_arguments(parser, "use toy data's image scale, for a checkpoint of train.py --toy")
    return parser.parse_args()


@tool
def main() -> None:
    args = parse_args()
    if args.out.suffix[1:] not in FigureCanvasBase.get_supported_filetypes():
        raise UserError(f'--out {args.out}: the name must end in .png, .pdf or .svg')
    check_output(args.out, is_file=True)
    try:
        image = read_image(args.image)
    except UserError as error:
        raise UserError(f'Could not read the image {args.image}: {error}') from None
    height, width = image.shape[:2]
    points = args.point or [(width / 2, height / 2)]
    for x, y in points:
        if not (0 <= x < width and 0 <= y < height):
            raise UserError(
                f'--point {x:g},{y:g} is outside the image, which has {width} x {height} pixels'
            )
    cfg = load_config(args.config, args.cfg_options, args.toy)
    device = get_device()
    backbone = load_backbone(cfg, args.checkpoint, device)
    try:
        inputs, resized = prepare_image(cfg, image)
        stages = trace_attention(backbone, inputs.to(device))
    except (ValueError, RuntimeError, cv2.error) as error:
        reason = str(error).strip().partition('\n')[0]
        raise UserError(
            f'{args.image} cannot be shown: {width} x {height} pixels are too narrow or too large '
            f'for this model ({reason})'
        ) from error
    figure = draw_attention(
        mmcv.bgr2rgb(resized), stages, [(x / width, y / height) for x, y in points]
    )
    with replacing(args.out) as partial:
        figure.savefig(partial)
    print(f'picture: {args.out}')


if __name__ == '__main__':
    main()
