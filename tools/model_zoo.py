"""Prints what every model costs, parameters and FLOPs, beside the paper's figures."""
import argparse
import warnings
from collections.abc import Iterable

from prettytable import PrettyTable, TableStyle, VRuleStyle
from rich.console import Console
from rich.progress import track

from twins_mm.cli import make_parser
from twins_mm.paper.costs import TABLES, Row, Table, make_rows
from twins_mm.paper.metafiles import write_metafiles
from twins_mm.shipped import CONFIGS

EXAMPLES = """examples:
  python tools/model_zoo.py
  python tools/model_zoo.py --markdown > model_zoo.md
"""
LEGEND = """\
M: millions of parameters. G: billions of multiply-accumulates in the forward pass of one image,
which the paper calls FLOPs.

- built: the model that the config builds.
- layers: convolutions and linear layers. attention: the products of queries, keys and values.
  Both include the padding of windows.
- counted: what the paper counts. Parameters: with ImageNet's final norm and 1000-class head, which
  the paper's detectors and segmentors carry but never use, and ours do without. FLOPs: as said
  above each table, with auxiliary heads, and with 1000 boxes and 100 masks in second stages.
- paper: the figure that the paper prints. off: what is counted, relative to it.
"""
COLUMNS = ('config', 'M built', 'M counted', 'M paper', 'M off', 'G layers', 'G attention',
           'G counted', 'G paper', 'G off', 'note')


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__, EXAMPLES)
    parser.add_argument('--markdown', action='store_true', help='print what the README shows')
    parser.add_argument('--metafiles', action='store_true',
                        help='write configs/metafiles/, which `mim` and the inferencers read')
    return parser.parse_args()


def describe(table: Table) -> str:
    height, width = table.image_size
    return (f'{table.title}. FLOPs counted: {height} x {width}, '
            f'{"layers and attention" if table.attention else "layers without attention"}'
            + ", the mask head's deconvolution as if over its output" * table.output_deconvolution)


def format_rows(rows: Iterable[Row], markdown: bool) -> str:
    table = PrettyTable(COLUMNS, align='r')
    table.align['config'] = table.align['note'] = 'l'
    if markdown:
        table.set_style(TableStyle.MARKDOWN)
    else:
        table.vrules = VRuleStyle.NONE
    for row in rows:
        flops = ('', '') if row.flops_off is None else (row.paper.flops, f'{row.flops_off:+.1%}')
        table.add_row([
            row.name, f'{row.params / 1e6:.2f}', f'{row.counted_params / 1e6:.2f}',
            row.paper.params, f'{row.params_off:+.1%}', f'{row.macs.layers / 1e9:.2f}',
            f'{row.macs.attention / 1e9:.2f}', f'{row.counted_macs / 1e9:.2f}', *flops,
            row.paper.note])
    return table.get_string()


def main() -> None:
    args = parse_args()
    warnings.filterwarnings('ignore', module='mmseg')  # its heads warn of its own code
    print(LEGEND)
    all_rows = []
    for table in TABLES:
        rows = list(track(make_rows(table, CONFIGS), table.title, len(table.paper),
                          console=Console(stderr=True), transient=True))
        print(describe(table), format_rows(rows, args.markdown), sep='\n\n', end='\n\n')
        all_rows += rows
    if args.metafiles:
        write_metafiles(all_rows, CONFIGS / 'metafiles')


if __name__ == '__main__':
    main()
