"""Measures time and memory of our backbones, compared with every peer that is installed."""

import argparse
import itertools
from collections.abc import Iterable
from pathlib import Path

import torch
from rich.console import Console

from twins_mm.benchmark.measure import Case, measure
from twins_mm.benchmark.model_parts import measure_shares
from twins_mm.benchmark.peers import ABLATION_PEERS, PEERS, ROW_PEERS, SEGMENTOR_PEERS, size_of
from twins_mm.benchmark.results import (
    describe_groups,
    describe_machine,
    describe_shares,
    describe_throughput,
    save,
    summarise,
)
from twins_mm.checkpoints.load_model import load_model
from twins_mm.cli import (
    add_data_root_argument,
    add_option_arguments,
    load_config,
    make_parser,
    tool,
)
from twins_mm.config import fit_to_cpu
from twins_mm.data.in_place import check_data
from twins_mm.errors import UserError
from twins_mm.models.variants import VARIANTS

EXAMPLES = """examples:
  python tools/benchmark.py --preset det
  python tools/benchmark.py --preset seg det --variants svt_s --precision float32 bfloat16
  python tools/benchmark.py --preset growth --modes inference
  python tools/benchmark.py --model configs/retinanet_twins_svt_s_1x.py
  python tools/benchmark.py --deploy configs/semantic_fpn_twins_svt_s_80k.py CHECKPOINT --toy
  python tools/benchmark.py --preset paper det --precision float16 --peers twins_mm plain timm Swin
  python tools/benchmark.py --variants svt_s --peers twins_mm svt_s_lll svt_s_llg svt_s_lllg
  python tools/benchmark.py --throughput                    # Table 1's, on this machine
  python tools/benchmark.py --throughput Twins-SVT-S Swin-T
  python tools/benchmark.py --preset road --peers "Semantic FPN" UperNet "SegFormer head"
"""
# Batch on a CPU, batch on a GPU, height, width.
PRESETS = dict(
    paper=[(8, 192, 224, 224)],
    seg=[(2, 16, 512, 512)],
    det=[(1, 2, 800, 1344)],
    road=[(1, 8, 512, 1024)],
    growth=[(1, 1, side, side) for side in (224, 448, 896, 1344, 2048)],
)
DEFAULT_PEERS = [
    name
    for name in PEERS
    if name not in ('twins_mm, compiled', *ABLATION_PEERS, *ROW_PEERS, *SEGMENTOR_PEERS)
]


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__, EXAMPLES)
    parser.add_argument(
        '--preset',
        nargs='+',
        choices=PRESETS,
        default=['det'],
        help='paper: 224 x 224, the large batch of its throughput; seg: 512 x 512; '
        'det: 800 x 1344; road: 512 x 1024; growth: 224 to 2048',
    )
    parser.add_argument('--variants', nargs='+', choices=VARIANTS, default=['svt_s', 'pcpvt_s'])
    parser.add_argument(
        '--modes', nargs='+', choices=('inference', 'training'), default=['inference', 'training']
    )
    parser.add_argument(
        '--precision', nargs='+', choices=('float32', 'bfloat16', 'float16'), default=['float32']
    )
    parser.add_argument(
        '--peers',
        nargs='+',
        choices=PEERS,
        default=DEFAULT_PEERS,
        help='what to measure; those that are not installed are left out',
    )
    parser.add_argument(
        '--model',
        metavar='CONFIG',
        help='measure this detector or segmentor instead: the time of each part',
    )
    parser.add_argument(
        '--deploy',
        nargs=2,
        metavar=('CONFIG', 'CHECKPOINT'),
        help='compare backends to run this trained model on a CPU instead: eager, '
        'compiled, bfloat16, onnxruntime, int8, and what each loses in '
        'accuracy on the validation set',
    )
    add_option_arguments(parser, 'with --deploy: evaluate on toy data')
    add_data_root_argument(parser)
    parser.add_argument(
        '--throughput',
        nargs='*',
        choices=ROW_PEERS,
        metavar='ROW',
        help="measure these rows of the paper's Table 1 instead, at 224 x 224: "
        f'images a second. All by default: {", ".join(ROW_PEERS)}',
    )
    parser.add_argument(
        '--rounds', type=int, default=7, help='how often each is measured; 3 or more'
    )
    parser.add_argument(
        '--out',
        type=Path,
        default=Path('work_dirs/benchmark'),
        metavar='DIR',
        help='where the results go',
    )
    return parser.parse_args()


def show_shares(path: str, rounds: int, device: str) -> None:
    cfg = load_config(path)
    if device == 'cpu':
        for note in fit_to_cpu(cfg):
            print(note)
    with Console(stderr=True).status(path):
        seconds = measure_shares(cfg, rounds)
    print(describe_machine(device), describe_shares(seconds), sep='\n\n')


def show_backends(args: argparse.Namespace) -> None:
    path, checkpoint = args.deploy
    cfg = load_config(path, args.cfg_options, args.toy, args.data_root)
    check_data(cfg, 'val')
    try:
        from twins_mm.benchmark.backends import compare_backends, describe_backends
    except ImportError as error:
        raise UserError(str(error)) from None
    model = load_model(cfg, checkpoint)
    print(f'{describe_machine("cpu")}\n')
    with Console(stderr=True).status(path) as status:
        backends = compare_backends(cfg, model, status.update)
    print(describe_backends(backends))


def find_installed(names: Iterable[str]) -> list[str]:
    names = list(names)
    peers = [name for name in names if PEERS[name].is_installed]
    if absent := [name for name in names if name not in peers]:
        print(f'Not installed, left out: {", ".join(absent)}')
    return peers


def show_throughput(args: argparse.Namespace, device: str) -> None:
    rows = find_installed(args.throughput or ROW_PEERS)
    cpu_batch, gpu_batch, height, width = PRESETS['paper'][0]
    batch = cpu_batch if device == 'cpu' else gpu_batch
    print(f'{describe_machine(device)}\n')
    # Those of one size take turns, not all, which need more memory.
    for precision, size in itertools.product(args.precision, dict.fromkeys(map(size_of, rows))):
        cases = [
            Case(row, '', False, precision, (batch, height, width), device)
            for row in rows
            if size_of(row) == size
        ]
        title = f'{size}, inference, {batch} x {height} x {width}, {precision}'
        with Console(stderr=True).status(title) as status:
            results = measure(cases, args.rounds, status.update)
        print(
            f'**{title}**', describe_throughput(list(zip(cases, results))), sep='\n\n', end='\n\n'
        )


def compare(args: argparse.Namespace, device: str) -> None:
    peers = find_installed(args.peers)
    sizes = [
        (cpu_batch if device == 'cpu' else gpu_batch, height, width)
        for preset in args.preset
        for cpu_batch, gpu_batch, height, width in PRESETS[preset]
    ]
    machine = describe_machine(device)
    print(f'{machine}\n')
    groups = []
    console = Console(stderr=True)
    for size, variant, mode, precision in itertools.product(
        sizes, args.variants, args.modes, args.precision
    ):
        cases = [
            Case(name, variant, mode == 'training', precision, size, device)
            for name in ('matmul', *peers)
        ]
        title = f'{variant}, {mode}, {" x ".join(map(str, size))}, {precision}'
        with console.status(title) as status:
            results = measure(
                cases,
                args.rounds,
                lambda text, title=title, status=status: status.update(f'{title}: {text}'),
            )
        groups.append(summarise(list(zip(cases, results))))
        print(describe_groups(groups[-1:]))
        # After each group, so that an interrupted run keeps what it measured.
        paths = save(groups, machine, args.out)
    print('Results:', *paths, sep='\n  ')


@tool
def main() -> None:
    args = parse_args()
    if args.rounds < 3:
        raise UserError(f'--rounds {args.rounds}: fewer than 3 cannot show noise')
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    if args.deploy:
        show_backends(args)
    elif args.model:
        show_shares(args.model, args.rounds, device)
    elif args.throughput is not None:
        show_throughput(args, device)
    else:
        compare(args, device)


if __name__ == '__main__':
    main()
