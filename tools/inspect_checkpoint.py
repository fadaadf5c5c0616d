"""Describes a checkpoint of Twins weights: layout, variant, head, classes, config."""

import argparse
import os
from pathlib import Path

import _ctrl_c  # noqa: F401

from twins_mm.checkpoints.inspect import describe_checkpoint
from twins_mm.checkpoints.read import read_checkpoint
from twins_mm.cli import make_parser, tool
from twins_mm.files.shipped import CONFIGS

EXAMPLES = """examples:
  python tools/inspect_checkpoint.py alt_gvt_small.pth
  python tools/inspect_checkpoint.py hf://timm/twins_svt_small.in1k
"""


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__, EXAMPLES)
    parser.add_argument('checkpoint', metavar='FILE', help='a file, a URL, or hf://ORG/NAME')
    return parser.parse_args()


@tool
def main() -> None:
    checkpoint = read_checkpoint(parse_args().checkpoint)
    for topic, text in describe_checkpoint(checkpoint, Path(os.path.relpath(CONFIGS))).items():
        print(f'{topic:9} {text}')


if __name__ == '__main__':
    main()
