"""Opens a page in the browser that shows what trained models make of a photograph."""

import argparse
import signal
from contextlib import suppress
from threading import Event

import _ctrl_c  # noqa: F401

from twins_mm.cli import add_device_argument, add_option_arguments, load_config, make_parser, tool
from twins_mm.demo.shown_model import ShownModel
from twins_mm.errors import UserError
from twins_mm.tasks.base import SCORE_THRESHOLD

EXAMPLES = """examples:
  python tools/demo.py configs/mask_rcnn_twins_svt_s_3x.py CHECKPOINT
  python tools/demo.py configs/retinanet_twins_svt_s_1x.py FIRST.pth \\
      configs/retinanet_twins_pcpvt_s_1x.py SECOND.pth        # side by side
  python tools/demo.py CONFIG CHECKPOINT --host 0.0.0.0       # for others in your network too
"""


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__, EXAMPLES)
    parser.add_argument(
        'models',
        nargs='+',
        metavar='CONFIG CHECKPOINT',
        help='one or more configs, each with a checkpoint: a file, a URL, or hf://ORG/NAME',
    )
    parser.add_argument(
        '--score-thr',
        type=float,
        default=SCORE_THRESHOLD,
        metavar='SCORE',
        help='where the slider of scores starts (default: %(default)s)',
    )
    parser.add_argument(
        '--host',
        default='127.0.0.1',
        help='address to listen on (default: %(default)s, this machine alone); '
        'there is no password',
    )
    parser.add_argument('--port', type=int, help='by default the first free one from 7860')
    add_device_argument(parser)
    add_option_arguments(parser, "use toy data's image scale, for a checkpoint of train.py --toy")
    return parser.parse_args()


@tool
def main() -> None:
    args = parse_args()
    if len(args.models) % 2:
        raise UserError(f'{args.models[-1]} has no checkpoint: pass a checkpoint after each config')
    try:
        from twins_mm.demo.browser_page import serve
    except ModuleNotFoundError as error:
        if error.name != 'gradio':
            raise
        raise UserError('The page needs gradio: pip install -e ".[demo]"') from None
    models = [
        ShownModel(load_config(config, args.cfg_options, args.toy), checkpoint)
        for config, checkpoint in zip(args.models[::2], args.models[1::2])
    ]
    with serve(models, args.score_thr, args.host, args.port) as address:
        print(f'page: {address}  (Ctrl+C ends it)', flush=True)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with suppress(KeyboardInterrupt):
            Event().wait()


if __name__ == '__main__':
    main()
