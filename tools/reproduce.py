"""Fills the paper's Tables 1, 2, 3, 4, 7 and 8 with what your runs gave, in Markdown."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import _ctrl_c  # noqa: F401
from mmengine.device import get_device
from rich.console import Console
from rich.progress import track

from twins_mm.benchmark.machine import describe_machine
from twins_mm.benchmark.model_parts import measure_parts
from twins_mm.cli import add_device_argument, check_count, make_parser, tool
from twins_mm.files.shipped import CONFIGS
from twins_mm.paper.filled_tables import FILLED, Results, collect, format_filled
from twins_mm.paper.plan import Training, list_tests, list_trainings
from twins_mm.report.run import find_runs

EXAMPLES = """examples:
  python tools/reproduce.py work_dirs > tables.md
  python tools/reproduce.py work_dirs --plan                # what is left to run; GPU hours
  python tools/reproduce.py work_dirs --plan --rounds 0     # the commands alone
  python tools/reproduce.py work_dirs --plan --baselines    # and those of ResNet, PVT, Swin
"""

ROUNDS = 3


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__, EXAMPLES)
    parser.add_argument(
        'runs_dir',
        type=Path,
        metavar='RUNS_DIR',
        help='the folder below which your runs are; they are known by the names of their configs',
    )
    parser.add_argument(
        '--plan', action='store_true', help='print the commands that are still to be run'
    )
    parser.add_argument(
        '--baselines',
        action='store_true',
        help='with --plan: also the configs of the other backbones in the tables',
    )
    parser.add_argument(
        '--rounds',
        type=int,
        help='steps of each config that --plan times on this machine to estimate '
        f'GPU hours; 0 for none (default: {ROUNDS} with a GPU, 0 without)',
    )
    add_device_argument(parser)
    return parser.parse_args()


def show_tables(results: Results) -> None:
    print(
        "Ours, and others that you trained: the paper's figure, yours, and the difference. G: "
        'billions of FLOPs,\nM: millions of parameters, as the paper prints them. mIoU and AP in '
        'percent. Many figures of others are\nquoted, from models that were trained otherwise: '
        'see docs/reproduce.md.\n'
    )
    for number in FILLED:
        print(format_filled(number, results.figures), end='\n\n')
    for title, lines in (
        ('Yours are from', results.sources.values()),
        ('Left out', results.left_out),
    ):
        if lines:
            print(f'{title}:\n\n' + '\n'.join(f'- {line}' for line in lines), end='\n\n')


def show_hours(trainings: Sequence[Training], rounds: int) -> None:
    """Times a few steps of each config, and prints what that makes in GPU hours."""
    device = get_device()
    unit = 'GPU hours' if device != 'cpu' else 'Hours of this CPU, which say nothing about a GPU'
    print(
        f'\n{unit}, from {rounds} steps of each config on {describe_machine(device)}, without '
        'validation:\n'
    )
    total = 0.0
    for training in track(trainings, 'timing', console=Console(stderr=True), transient=True):
        hours = training.gpu_hours(measure_parts(training.cfg, rounds)['training'])
        total += hours
        print(
            f'{hours:8,.0f}  {training.config.stem}, {training.iterations:,} iterations on '
            f'{training.processes}'
        )
    print(f'{total:8,.0f}  in all')


@tool
def main() -> None:
    args = parse_args()
    if args.rounds is not None:
        check_count('--rounds', args.rounds, least=0)
    results = collect(find_runs(args.runs_dir), CONFIGS)
    if not args.plan:
        show_tables(results)
        return
    scope = results, CONFIGS, args.runs_dir, args.baselines
    trainings = list(list_trainings(*scope))
    print(*(training.command for training in trainings), *list_tests(*scope), sep='\n')
    rounds = ROUNDS * (get_device() != 'cpu') if args.rounds is None else args.rounds
    if trainings and rounds:
        show_hours(trainings, rounds)
    elif trainings and args.rounds is None:
        print('\nThere is no GPU here. For GPU hours, run this on the machine that is to train.')


if __name__ == '__main__':
    main()
