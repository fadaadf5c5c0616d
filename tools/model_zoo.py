"""Prints what every model costs, parameters and FLOPs, compared with the paper's figures."""

import argparse

import _ctrl_c  # noqa: F401
from rich.console import Console
from rich.progress import track

from twins_mm.cli import make_parser, tool
from twins_mm.files.shipped import CONFIGS
from twins_mm.paper.costs import (
    BASELINE_COUNTINGS,
    COUNTINGS,
    Cost,
    Counting,
    count_baselines,
    count_costs,
)
from twins_mm.paper.metafiles import write_metafiles
from twins_mm.report.text_table import format_table

EXAMPLES = """examples:
  python tools/model_zoo.py
  python tools/model_zoo.py --markdown > model_zoo.md
  python tools/model_zoo.py --baselines      # the other backbones in the paper's tables
  python tools/model_zoo.py --metafiles      # after a change to the configs
"""
LEGEND = """\
M: millions of parameters. G: billions of multiply-accumulates in the forward pass of one image,
which the paper calls FLOPs.

- built: the model that the config builds.
- layers: convolutions and linear layers. attention: the products of queries, keys and values.
  Both include the padding of windows.
- counted: what the paper counts. Parameters: with ImageNet's final norm and 1000-class head, which
  the paper's detectors and segmentors carry but never use, and ours do without; of other backbones,
  what is trained, in detectors and segmentors without that head. FLOPs: as said above each table,
  with auxiliary heads, and with 1000 boxes and 100 masks in second stages.
- paper: the figure that the paper prints. off: what is counted, relative to it.
"""
COLUMNS = (
    'config',
    'M built',
    'M counted',
    'M paper',
    'M off',
    'G layers',
    'G attention',
    'G counted',
    'G paper',
    'G off',
    'note',
)


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__, EXAMPLES)
    parser.add_argument('--markdown', action='store_true', help='print the tables as Markdown')
    either = parser.add_mutually_exclusive_group()
    either.add_argument(
        '--baselines', action='store_true', help='count ResNet, ResNeXt, PVT and Swin instead'
    )
    either.add_argument(
        '--metafiles',
        action='store_true',
        help='count both, and write model-index.yml and the metafile.yml and README.md of each '
        'folder of configs',
    )
    return parser.parse_args()


def describe(counting: Counting) -> str:
    height, width = counting.image_size
    return (
        f'{counting.title}. FLOPs counted: {height} x {width}, '
        f'{"layers and attention" if counting.attention else "layers without attention"}'
        + ", the mask head's deconvolution as if over its output"
        * counting.output_deconvolution
    )


def list_cells(cost: Cost) -> list:
    params, flops = (
        ('', '') if off is None else (cost.paper[figure], f'{off:+.1%}')
        for figure, off in (('params', cost.params_off), ('flops', cost.flops_off))
    )
    return [
        cost.name,
        f'{cost.params / 1e6:.2f}',
        f'{cost.counted_params / 1e6:.2f}',
        *params,
        f'{cost.macs.layers / 1e9:.2f}',
        f'{cost.macs.attention / 1e9:.2f}',
        f'{cost.counted_macs / 1e9:.2f}',
        *flops,
        cost.note,
    ]


@tool
def main() -> None:
    args = parse_args()
    print(LEGEND)
    all_costs = []
    ours = [(counting, count_costs, counting.variants) for counting in COUNTINGS]
    others = [(counting, count_baselines, counting.baselines) for counting in BASELINE_COUNTINGS]
    for counting, count, backbones in (
        ours + others if args.metafiles else others if args.baselines else ours
    ):
        costs = list(
            track(
                count(counting, CONFIGS),
                counting.title,
                len(backbones),
                console=Console(stderr=True),
                transient=True,
            )
        )
        print(describe(counting), end='\n\n')
        print(
            format_table(
                COLUMNS, [list_cells(cost) for cost in costs], args.markdown, text=('note',)
            ),
            end='\n\n',
        )
        all_costs += costs
    if args.metafiles:
        write_metafiles(all_costs, CONFIGS)


if __name__ == '__main__':
    main()
