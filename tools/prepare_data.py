"""Unpacks the official archives of a data set to where the configs expect them, or says how."""

import argparse
from pathlib import Path

import _ctrl_c  # noqa: F401

from twins_mm.cli import check_output, make_parser, tool
from twins_mm.data.archives import unpack_archives
from twins_mm.data.data_sets import DATA_SETS

EXAMPLES = """examples:
  python tools/prepare_data.py coco --archives ~/downloads
  python tools/prepare_data.py ade20k --archives ~/downloads --out /big/disk
"""


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__, EXAMPLES)
    parser.add_argument('dataset', choices=DATA_SETS, help='the data set')
    parser.add_argument(
        '--archives',
        metavar='DIR',
        type=Path,
        required=True,
        help='the folder with the official archives, under their original names',
    )
    parser.add_argument(
        '--out',
        metavar='DIR',
        type=Path,
        default=Path('data'),
        help='output folder; the default, "data", is where the configs look',
    )
    return parser.parse_args()


@tool
def main() -> None:
    args = parse_args()
    data = DATA_SETS[args.dataset]
    root = args.out / data.folder.relative_to('data')
    check_output(root)
    count = unpack_archives(data, args.archives, root)
    print(f'{data.title} is complete in {root}; unpacked {count:,} files.\nNext:')
    if root.resolve() != data.folder.resolve():
        print(f'  mkdir -p {data.folder.parent} && ln -s {root.absolute()} {data.folder}')
    print(f'  python tools/train.py configs/{data.example}.py --auto-scale-lr')


if __name__ == '__main__':
    main()
