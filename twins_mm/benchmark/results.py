"""The results of the bench as JSON, as Markdown, and as plots."""

import json
import platform
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from itertools import cycle
from pathlib import Path
from statistics import median, quantiles

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from ..paper.figures import TABLES
from ..paper.flops import count_macs
from ..report.text_table import format_table
from .measure import Case, Measurement, matmul_rate
from .peers import PEERS, build_ours, size_of

NOISY = 0.1
_OURS = 'twins_mm'


@dataclass
class Result:
    """Of one peer: seconds a step and the peak of added memory in bytes, or why there are none."""

    peer: str
    seconds: float | None
    memory: int
    error: str


@dataclass
class Group:
    """Peers that were measured side by side.

    Attributes:
        size: Batch, height and width.
        floor: Seconds that a step's operations take at the rate of a large product of matrices,
            measured in the same rounds. A step of training counts as three inferences.
        noise: How much that rate varied: its interquartile range over its median.
    """

    variant: str
    training: bool
    precision: str
    size: tuple[int, int, int]
    floor: float
    noise: float
    rows: list[Result]

    @property
    def title(self) -> str:
        return (
            f'{self.variant}, {"training" if self.training else "inference"}, '
            f'{" x ".join(map(str, self.size))}, {self.precision}'
        )

    def row_of(self, peer: str) -> Result | None:
        return next((row for row in self.rows if row.peer == peer and row.seconds), None)


def summarise(results: Sequence[tuple[Case, Measurement]]) -> Group:
    """Makes cases that were measured side by side a group; the first of them is 'matmul'."""
    (matmul, products), *others = results
    case = others[0][0]
    batch, height, width = case.size
    with torch.device('meta'):
        macs = count_macs(build_ours(case.variant).eval(), torch.empty(1, 3, height, width))
    operations = 2 * batch * (macs.layers + macs.attention) * (3 if case.training else 1)
    low, middle, high = quantiles(products.seconds, n=4)
    return Group(
        case.variant,
        case.training,
        case.precision,
        case.size,
        operations / matmul_rate(matmul, middle),
        (high - low) / middle,
        [
            Result(
                case.peer,
                median(result.seconds) if result.seconds else None,
                result.memory,
                result.error,
            )
            for case, result in others
        ],
    )


def describe_machine(device: str) -> str:
    """Processor, threads, torch and date."""
    if device == 'cuda':
        processor = torch.cuda.get_device_name()
    else:
        model = re.search(r'model name\s*: (.*)', Path('/proc/cpuinfo').read_text())
        processor = (
            f'{model[1] if model else platform.machine()}, {torch.get_num_threads()} threads'
        )
    return f'{processor}, torch {torch.__version__}, {date.today()}'


def describe_groups(groups: Sequence[Group]) -> str:
    """Markdown, a table for each group; time and memory also as multiples of ours."""
    lines = []
    for group in groups:
        ours = group.row_of(_OURS)
        lines += [f'**{group.title}** (floor: {group.floor * 1e3:.0f} ms)', '']
        if group.noise > NOISY:
            lines += [
                f'The machine was noisy: a product of matrices varied by {group.noise:.0%}. '
                'Measure again.',
                '',
            ]
        lines += [
            format_table(
                ['', 'ms', 'images/s', 'time / ours', 'time / floor', 'MiB', 'memory / ours'],
                [_cells(row, group, ours) for row in group.rows],
            ),
            '',
        ]
    return '\n'.join(lines)


def _cells(row: Result, group: Group, ours: Result | None) -> list[str]:
    if row.seconds is None:
        return [row.peer, row.error, *[''] * 5]
    time, memory = (
        (f'{row.seconds / ours.seconds:.2f}', f'{row.memory / ours.memory:.2f}')
        if ours and ours.seconds
        else ('', '')
    )
    return [
        row.peer,
        f'{row.seconds * 1e3:.0f}',
        f'{group.size[0] / row.seconds:.2f}',
        time,
        f'{row.seconds / group.floor:.2f}',
        f'{row.memory / 2**20:.0f}',
        memory,
    ]


def describe_throughput(results: Sequence[tuple[Case, Measurement]]) -> str:
    """Markdown: images a second of Table 1's rows, and Twins-SVT's relative to them."""
    here = {
        case.peer: case.size[0] / median(result.seconds)
        for case, result in results
        if result.seconds
    }
    paper = {row: value for row, (_, _, value, _) in TABLES[1].rows.items() if value}
    lines = []
    for case, result in results:
        row, svt = case.peer, f'Twins-SVT-{size_of(case.peer)[0].upper()}'
        ratios = [
            f'{rates[svt] / rates[row]:.2f}' if {row, svt} <= rates.keys() else ''
            for rates in (here, paper)
        ]
        rate = f'{here[row]:.2f}' if row in here else result.error
        lines.append([row, rate, paper[row], *ratios])
    heads = ['', 'images/s', 'in the paper', 'SVT / it', 'SVT / it in the paper']
    return format_table(heads, lines)


def describe_shares(seconds: dict[str, dict[str, float]]) -> str:
    """Markdown, a table for each mode of what `measure_shares` returns."""
    lines = []
    for mode, parts in seconds.items():
        total = sum(parts.values())
        lines += [
            f'**{mode}**, {total * 1e3:.0f} ms',
            '',
            format_table(
                ['', 'ms', 'share'],
                [
                    [part, f'{time * 1e3:.0f}', f'{time / total:.0%}']
                    for part, time in parts.items()
                ],
            ),
            '',
        ]
    return '\n'.join(lines)


def save(groups: Sequence[Group], machine: str, folder: Path) -> list[Path]:
    """Writes results.json, results.md and the plots that the groups allow; returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        'results.json': json.dumps(
            dict(machine=machine, groups=[asdict(group) for group in groups]), indent=1
        ),
        'results.md': f'{machine}\n\n{describe_groups(groups)}',
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    figures = {}
    if all(group.row_of(_OURS) for group in groups):
        figures['ratios.png'] = plot_ratios(groups)
    if len({group.size for group in groups}) > 2:
        figures['growth.png'] = plot_growth(groups)
    for name, figure in figures.items():
        figure.savefig(folder / name)
    return [folder / name for name in (*texts, *figures)]


def plot_ratios(groups: Sequence[Group]) -> Figure:
    """Time and memory of each peer as multiples of ours, a line for each group."""
    figure = Figure(figsize=(10, 1.3 + 0.4 * len(groups)), dpi=160, layout='constrained')
    panels = figure.subplots(1, 2, sharey=True)
    peers = [peer for peer in _peers(groups) if peer != _OURS]
    ours = [row for group in groups if (row := group.row_of(_OURS))]
    for axes, quantity, label in zip(panels, ('seconds', 'memory'), ('time', 'memory')):
        axes.axvline(1, color='C0', linewidth=2.5, label=_OURS, zorder=1)
        for number, (peer, marker) in enumerate(zip(peers, cycle('osD^vPX*'))):
            # One below the other, so that none hides another.
            offset = 0.14 * (number - (len(peers) - 1) / 2)
            points = [
                (getattr(row, quantity) / getattr(base, quantity), line + offset)
                for line, (group, base) in enumerate(zip(groups, ours))
                if (row := group.row_of(peer))
            ]
            axes.plot(
                *zip(*points),
                marker,
                color=_color(peer),
                markeredgecolor='white',
                markersize=7,
                label=peer,
            )
        axes.set(xlim=(0, None), xlabel=f'{label}, times ours')
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _tidy(axes)
    panels[0].plot(
        [group.floor / (base.seconds or 1) for group, base in zip(groups, ours)],
        range(len(groups)),
        '|',
        color='black',
        markersize=12,
        label='floor',
    )
    panels[0].set_yticks(range(len(groups)), [group.title for group in groups])
    panels[0].invert_yaxis()
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc='outside upper center', ncols=8, frameon=False
    )
    return figure


def plot_growth(groups: Sequence[Group]) -> Figure:
    """Time and memory of one image by its side, for each peer; a row for each kind of group."""
    kinds = list(dict.fromkeys((g.variant, g.training, g.precision) for g in groups))
    figure = Figure(figsize=(10, 1 + 3 * len(kinds)), dpi=160, layout='constrained')
    for kind, axes in zip(kinds, figure.subplots(len(kinds), 2, squeeze=False)):
        same = [g for g in groups if (g.variant, g.training, g.precision) == kind]
        sides = [(group.size[1] * group.size[2]) ** 0.5 for group in same]
        for axis, quantity, unit, label in zip(
            axes, ('seconds', 'memory'), (1, 2**30), ('seconds', 'GiB')
        ):
            for peer in _peers(same):
                points = [
                    (side, getattr(row, quantity) / unit / group.size[0])
                    for side, group in zip(sides, same)
                    if (row := group.row_of(peer))
                ]
                axis.plot(
                    *zip(*points),
                    'o-',
                    label=peer,
                    color=_color(peer),
                    linewidth=2.5 if peer == _OURS else 1,
                )
            axis.set(
                xlabel='side of the image, pixels',
                ylabel=f'{label} an image',
                xscale='log',
                yscale='log',
            )
            ticks = sorted({*sides})
            axis.set_xticks(ticks, [f'{side:.0f}' for side in ticks])
            axis.minorticks_off()
            axis.yaxis.set(major_locator=LogLocator(subs=(1, 2, 5)), major_formatter='{x:g}')
            _tidy(axis)
        axes[0].set_title(
            f'{kind[0]}, {"training" if kind[1] else "inference"}, {kind[2]}',
            loc='left',
            fontsize='medium',
        )
        axes[0].legend()
    return figure


def _peers(groups: Sequence[Group]) -> list[str]:
    """The peers that were measured, in order."""
    return list(dict.fromkeys(row.peer for group in groups for row in group.rows if row.seconds))


def _color(peer: str) -> str:
    """A peer's color, the same in every plot; variations of ours have the color of ours."""
    others = [name for name in PEERS if not name.startswith(_OURS)]
    return f'C{1 + others.index(peer)}' if peer in others else 'C0'


def _tidy(axes: Axes) -> None:
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[['top', 'right']].set_visible(False)
