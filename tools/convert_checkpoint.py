"""Converts a checkpoint of Twins weights to the names of another library."""

import argparse
from pathlib import Path

import _ctrl_c  # noqa: F401
import safetensors.torch
import torch

from twins_mm.checkpoints.convert import TARGETS, convert
from twins_mm.checkpoints.read import read_checkpoint, weights_of
from twins_mm.checkpoints.unpack import unpack
from twins_mm.cli import check_output, make_parser, tool
from twins_mm.errors import UserError
from twins_mm.files.atomic_write import replacing

EXAMPLES = """examples:
  python tools/convert_checkpoint.py work_dirs/x/iter_160000.pth segmentor.pth --to mmseg
  python tools/convert_checkpoint.py hf://timm/twins_svt_small.in1k svt.safetensors --to mmpretrain
"""


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__, EXAMPLES)
    parser.add_argument('source', metavar='SRC', help='a file, a URL, or hf://ORG/NAME')
    parser.add_argument(
        'target',
        metavar='DST',
        type=Path,
        help='a new file: .safetensors for weights only, or .pth',
    )
    parser.add_argument('--to', choices=TARGETS, required=True, help='whose names to use')
    return parser.parse_args()


def save(weights: dict, meta: dict, path: Path) -> None:
    with replacing(path) as partial:
        if path.suffix == '.safetensors':
            safetensors.torch.save_file(weights, partial, dict(format='pt'))
        else:
            torch.save(dict(meta=meta, state_dict=weights) if meta else weights, partial)


@tool
def main() -> None:
    args = parse_args()
    if args.target.exists():
        raise UserError(f'{args.target} exists already; choose a new file')
    if args.target.suffix not in ('.safetensors', '.pth'):
        raise UserError(f'{args.target} must end in .safetensors or .pth')
    check_output(args.target, 'DST', is_file=True)
    checkpoint = read_checkpoint(args.source)
    weights = weights_of(checkpoint)
    converted = convert(weights, args.to)
    save(converted, checkpoint.get('meta') or {}, args.target)
    print(f'{args.target}: {len(converted)} tensors, {args.to} layout')
    if args.to == 'timm' and (others := unpack(weights).others):
        print(
            f'left out, because timm has no place for them: '
            f'{", ".join(sorted({name.partition(".")[0] for name in others}))}'
        )


if __name__ == '__main__':
    main()
