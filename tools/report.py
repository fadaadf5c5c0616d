"""Writes an HTML report on training runs: are they on track?"""

import argparse
from pathlib import Path

import _ctrl_c  # noqa: F401

from twins_mm.cli import (
    add_data_root_argument,
    add_device_argument,
    check_count,
    check_output,
    make_parser,
    tool,
)
from twins_mm.config import move_data
from twins_mm.errors import UserError
from twins_mm.files.shipped import CONFIGS
from twins_mm.paper.references import find_reference
from twins_mm.report.run import Run, read_run
from twins_mm.report.run_page import write_report

EXAMPLES = """examples:
  python tools/report.py work_dirs/upernet_twins_svt_s_160k               # also during training
  python tools/report.py work_dirs/* --out report --images 0
"""


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__, EXAMPLES)
    parser.add_argument(
        'work_dirs',
        nargs='+',
        type=Path,
        metavar='WORK_DIR',
        help='the working directory of a run; other folders are skipped',
    )
    parser.add_argument(
        '--out',
        type=Path,
        metavar='DIR',
        help="output folder; by default report/ in the first run's WORK_DIR",
    )
    parser.add_argument(
        '--images',
        type=int,
        default=50,
        metavar='N',
        help='how many validation images to predict, to show the best and the '
        'worst; 0 for none (default: %(default)s)',
    )
    add_device_argument(parser)
    add_data_root_argument(parser)
    return parser.parse_args()


def read_runs(folders: list[Path]) -> list[Run]:
    """Reads the runs among some folders; prints which folders are not runs."""
    runs, skipped = [], []
    for folder in folders:
        try:
            runs.append(read_run(folder))
        except UserError as error:
            skipped.append(str(error))
    if not runs:
        raise UserError('\n'.join(skipped))
    for reason in skipped:
        print(f'skipped: {reason}')
    return runs


@tool
def main() -> None:
    args = parse_args()
    check_count('--images', args.images, least=0)
    runs = read_runs(args.work_dirs)
    for run in runs if args.data_root is not None else ():
        if not run.is_toy:
            move_data(run.cfg, args.data_root)
    out = args.out or runs[0].folder / 'report'
    check_output(out)
    references = [find_reference(run, CONFIGS) for run in runs]
    for run, verdict in zip(runs, write_report(runs, references, args.images, out)):
        print(f'{run.folder}: {verdict.sentence}')
    print(f'\nreport: {out / "report.html"}')


if __name__ == '__main__':
    main()
