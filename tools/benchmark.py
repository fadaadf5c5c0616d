"""Measures time and memory; each command has a --help of its own."""

import argparse
import inspect
import itertools
import textwrap
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import _ctrl_c  # noqa: F401
from mmengine.device import get_device
from rich.console import Console
from rich.status import Status

from twins_mm.benchmark.machine import describe_machine
from twins_mm.benchmark.measure import Case, measure
from twins_mm.benchmark.model_parts import describe_parts, measure_parts
from twins_mm.benchmark.peers import ABLATION_PEERS, PEERS, ROW_PEERS, SEGMENTOR_PEERS, size_of
from twins_mm.benchmark.results import summarise
from twins_mm.benchmark.save import save_results
from twins_mm.benchmark.tables import describe_groups, describe_throughput
from twins_mm.checkpoints.load_model import load_model
from twins_mm.cli import (
    add_data_root_argument,
    add_device_argument,
    add_option_arguments,
    check_output,
    load_config,
    make_parser,
    tool,
)
from twins_mm.config import adapt_to_cpu
from twins_mm.data.in_place import check_data
from twins_mm.errors import UserError
from twins_mm.models.variants import VARIANTS

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


def list_names(names: Iterable[str]) -> str:
    text = ', '.join(f'"{name}"' if ' ' in name else name for name in names)
    return textwrap.fill(
        text, 96, initial_indent='  ', subsequent_indent='  ', break_on_hyphens=False
    )


EXAMPLES = """examples:
  python tools/benchmark.py backbones --preset seg det --variants svt_s
  python tools/benchmark.py throughput
  python tools/benchmark.py model configs/retinanet_twins_svt_s_1x.py
  python tools/benchmark.py deploy configs/semantic_fpn_twins_svt_s_80k.py CHECKPOINT
"""
BACKBONES_EXAMPLES = f"""implementations, by default those that are installed:
{list_names(DEFAULT_PEERS)}
others, for --peers:
{list_names(['twins_mm, compiled', *SEGMENTOR_PEERS, *ABLATION_PEERS])}
  and the rows that `throughput --help` lists

examples:
  python tools/benchmark.py backbones --preset seg det --precision float32 bfloat16
  python tools/benchmark.py backbones --preset growth --modes inference
  python tools/benchmark.py backbones --preset paper --precision float16 --peers twins_mm timm Swin
  python tools/benchmark.py backbones --variants svt_s --peers twins_mm svt_s_lll svt_s_llg
  python tools/benchmark.py backbones --preset road --peers "Semantic FPN" UperNet
"""
THROUGHPUT_EXAMPLES = f"""rows:
{list_names(ROW_PEERS)}

examples:
  python tools/benchmark.py throughput
  python tools/benchmark.py throughput --rows Twins-SVT-S Swin-T
"""
MODEL_EXAMPLES = """examples:
  python tools/benchmark.py model configs/mask_rcnn_twins_svt_s_1x.py --rounds 3
"""
DEPLOY_EXAMPLES = """examples:
  python tools/benchmark.py deploy configs/semantic_fpn_twins_svt_s_80k.py CHECKPOINT --toy
"""


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__, EXAMPLES)
    commands = parser.add_subparsers(metavar='COMMAND', required=True)

    def add(name: str, run: Callable, examples: str) -> argparse.ArgumentParser:
        description = inspect.getdoc(run) or ''
        command = commands.add_parser(
            name,
            help=description.partition('\n')[0],
            description=description,
            epilog=examples,
            formatter_class=parser.formatter_class,
        )
        command.set_defaults(run=run)
        return command

    backbones = add('backbones', compare_backbones, BACKBONES_EXAMPLES)
    backbones.add_argument(
        '--preset',
        nargs='+',
        choices=PRESETS,
        default=['det'],
        metavar='NAME',
        help='paper: 224 x 224, the large batch of its throughput; seg: 512 x 512; '
        'det: 800 x 1344; road: 512 x 1024; growth: 224 to 2048 (default: det)',
    )
    backbones.add_argument(
        '--variants',
        nargs='+',
        choices=VARIANTS,
        default=['svt_s', 'pcpvt_s'],
        metavar='NAME',
        help=f'of {", ".join(VARIANTS)} (default: svt_s pcpvt_s)',
    )
    backbones.add_argument(
        '--modes',
        nargs='+',
        choices=('inference', 'training'),
        default=['inference', 'training'],
        metavar='NAME',
        help='inference, training (default: both)',
    )
    add_precision_argument(backbones)
    backbones.add_argument(
        '--peers',
        nargs='+',
        choices=PEERS,
        default=DEFAULT_PEERS,
        metavar='NAME',
        help='what to measure; those that are not installed are left out',
    )
    add_rounds_argument(backbones)
    add_device_argument(backbones)
    backbones.add_argument(
        '--out',
        type=Path,
        default=Path('work_dirs/benchmark'),
        metavar='DIR',
        help='where the results go (default: %(default)s)',
    )

    throughput = add('throughput', show_throughput, THROUGHPUT_EXAMPLES)
    throughput.add_argument(
        '--rows',
        nargs='+',
        choices=ROW_PEERS,
        default=list(ROW_PEERS),
        metavar='NAME',
        help='what to measure (default: all that are installed)',
    )
    add_precision_argument(throughput)
    add_rounds_argument(throughput)
    add_device_argument(throughput)

    model = add('model', show_parts, MODEL_EXAMPLES)
    model.add_argument('config', metavar='CONFIG')
    add_rounds_argument(model)
    add_device_argument(model)

    deploy = add('deploy', show_backends, DEPLOY_EXAMPLES)
    deploy.add_argument('config', metavar='CONFIG')
    deploy.add_argument('checkpoint', metavar='CHECKPOINT')
    add_option_arguments(deploy, 'evaluate on toy data')
    add_data_root_argument(deploy)
    return parser.parse_args()


def add_precision_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--precision',
        nargs='+',
        choices=('float32', 'bfloat16', 'float16'),
        default=['float32'],
        metavar='NAME',
        help='float32, bfloat16, float16 (default: float32)',
    )


def add_rounds_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--rounds',
        type=int,
        default=7,
        metavar='N',
        help='how often each is measured; 3 or more (default: %(default)s)',
    )


def compare_backbones(args: argparse.Namespace) -> None:
    """Compares our backbones with every other implementation that is installed."""
    check_output(args.out)
    peers = find_installed(args.peers)
    sizes = [
        (cpu_batch if get_device() == 'cpu' else gpu_batch, height, width)
        for preset in args.preset
        for cpu_batch, gpu_batch, height, width in PRESETS[preset]
    ]
    machine = describe_machine(get_device())
    print(f'{machine}\n')
    groups = []
    console = Console(stderr=True)
    for size, variant, mode, precision in itertools.product(
        sizes, args.variants, args.modes, args.precision
    ):
        cases = [
            Case(name, variant, mode == 'training', precision, size, get_device())
            for name in ('matmul', *peers)
        ]
        title = f'{variant}, {mode}, {" x ".join(map(str, size))}, {precision}'
        with console.status(title) as status:
            results = measure(
                cases,
                args.rounds,
                partial(show_progress, status, title),
            )
        groups.append(summarise(list(zip(cases, results))))
        print(describe_groups(groups[-1:]))
        # After each group, so that an interrupted run keeps what it measured.
        paths = save_results(groups, machine, args.out)
    print('Results:', *paths, sep='\n  ')


def show_progress(status: Status, title: str, text: str) -> None:
    status.update(f'{title}: {text}')


def show_throughput(args: argparse.Namespace) -> None:
    """Measures images a second of the rows of the paper's Table 1, at 224 x 224."""
    rows = find_installed(args.rows)
    cpu_batch, gpu_batch, height, width = PRESETS['paper'][0]
    batch = cpu_batch if get_device() == 'cpu' else gpu_batch
    print(f'{describe_machine(get_device())}\n')
    # Those of one size alternate, not all, which need more memory.
    for precision, size in itertools.product(args.precision, dict.fromkeys(map(size_of, rows))):
        cases = [
            Case(row, '', False, precision, (batch, height, width), get_device())
            for row in rows
            if size_of(row) == size
        ]
        title = f'{size}, inference, {batch} x {height} x {width}, {precision}'
        with Console(stderr=True).status(title) as status:
            results = measure(cases, args.rounds, status.update)
        print(
            f'**{title}**', describe_throughput(list(zip(cases, results))), sep='\n\n', end='\n\n'
        )


def find_installed(names: list[str]) -> list[str]:
    peers = [name for name in names if PEERS[name].is_installed]
    if absent := [name for name in names if name not in peers]:
        print(f'Not installed, left out: {", ".join(absent)}')
    return peers


def show_parts(args: argparse.Namespace) -> None:
    """Measures where the time of a detector's or segmentor's step goes."""
    cfg = load_config(args.config)
    if get_device() == 'cpu':
        for note in adapt_to_cpu(cfg):
            print(note)
    with Console(stderr=True).status(args.config):
        seconds = measure_parts(cfg, args.rounds)
    print(describe_machine(get_device()), describe_parts(seconds), sep='\n\n')


def show_backends(args: argparse.Namespace) -> None:
    """Compares ways to run a trained model on a CPU.

    PyTorch, compiled, in bfloat16, in onnxruntime and in int8: how fast each is, and what it loses
    in accuracy on the validation set.
    """
    cfg = load_config(args.config, args.cfg_options, args.toy, args.data_root)
    check_data(cfg, 'val')
    try:
        from twins_mm.benchmark.backends import compare_backends, describe_backends
    except ImportError as error:
        raise UserError(str(error)) from None
    model = load_model(cfg, args.checkpoint)
    print(f'{describe_machine("cpu")}\n')
    with Console(stderr=True).status(args.config) as status:
        backends = compare_backends(cfg, model, status.update)
    print(describe_backends(backends))


@tool
def main() -> None:
    args = parse_args()
    if 'rounds' in args and args.rounds < 3:
        raise UserError(f'--rounds {args.rounds}: fewer than 3 cannot show noise')
    args.run(args)


if __name__ == '__main__':
    main()
