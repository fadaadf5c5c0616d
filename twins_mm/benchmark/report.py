"""What the bench measured, as JSON, as Markdown, and as plots."""
import json
import platform
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from statistics import median, quantiles

import torch
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from ..flops import count_macs
from .measure import Case, Measurement, matmul_rate
from .peers import build_ours

NOISY = 0.1
OURS = 'twins_mm'


@dataclass
class Row:
    """One peer: seconds a step, the peak of added memory in bytes; or why there are none."""

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
    rows: list[Row]

    @property
    def title(self) -> str:
        return (f'{self.variant}, {"training" if self.training else "inference"}, '
                f'{" x ".join(map(str, self.size))}, {self.precision}')

    def row_of(self, peer: str) -> Row | None:
        return next((row for row in self.rows if row.peer == peer and row.seconds), None)


def summarise(results: Sequence[tuple[Case, Measurement]]) -> Group:
    """The group that `results` are; the first of them is the case 'matmul'."""
    (matmul, products), *others = results
    case = others[0][0]
    batch, height, width = case.size
    with torch.device('meta'):
        macs = count_macs(build_ours(case.variant).eval(), torch.empty(1, 3, height, width))
    operations = 2 * batch * (macs.layers + macs.attention) * (3 if case.training else 1)
    low, middle, high = quantiles(products.seconds, n=4)
    return Group(
        case.variant, case.training, case.precision, case.size,
        operations / matmul_rate(matmul, middle), (high - low) / middle,
        [Row(case.peer, median(result.seconds) if result.seconds else None, result.memory,
             result.error) for case, result in others])


def describe_machine(device: str) -> str:
    """Processor, threads, torch and date."""
    if device == 'cuda':
        processor = torch.cuda.get_device_name()
    else:
        model = re.search(r'model name\s*: (.*)', Path('/proc/cpuinfo').read_text())
        processor = (f'{model[1] if model else platform.machine()}, '
                     f'{torch.get_num_threads()} threads')
    return f'{processor}, torch {torch.__version__}, {date.today()}'


def to_markdown(groups: Sequence[Group], machine: str) -> str:
    """A table a group; times and memory also as multiples of ours."""
    lines = [machine, '']
    for group in groups:
        ours = group.row_of(OURS)
        lines += [f'**{group.title}** (floor: {group.floor * 1e3:.0f} ms)', '']
        if group.noise > NOISY:
            lines += [f'The machine was noisy: a product of matrices varied by {group.noise:.0%}. '
                      'Measure again.', '']
        lines += ['| | ms | images/s | time / ours | time / floor | MiB | memory / ours |',
                  '|---|---:|---:|---:|---:|---:|---:|']
        for row in group.rows:
            if row.seconds is None:
                lines.append(f'| {row.peer} | {row.error} | | | | | |')
                continue
            time, memory = ((f'{row.seconds / ours.seconds:.2f}', f'{row.memory / ours.memory:.2f}')
                            if ours and ours.seconds else ('', ''))
            lines.append(
                f'| {row.peer} | {row.seconds * 1e3:.0f} | {group.size[0] / row.seconds:.2f} | '
                f'{time} | {row.seconds / group.floor:.2f} | {row.memory / 2**20:.0f} | {memory} |')
        lines.append('')
    return '\n'.join(lines)


def describe_shares(seconds: dict[str, dict[str, float]]) -> str:
    """A Markdown table of what `measure_shares` returns."""
    lines = []
    for mode, parts in seconds.items():
        total = sum(parts.values())
        lines += [f'**{mode}**, {total * 1e3:.0f} ms', '', '| | ms | share |', '|---|---:|---:|']
        lines += [f'| {part} | {time * 1e3:.0f} | {time / total:.0%} |'
                  for part, time in parts.items()]
        lines.append('')
    return '\n'.join(lines)


def save(groups: Sequence[Group], machine: str, folder: Path) -> list[Path]:
    """Writes results.json, results.md and the plots that the groups allow; returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {'results.json': json.dumps(
                 dict(machine=machine, groups=[asdict(group) for group in groups]), indent=1),
             'results.md': to_markdown(groups, machine)}
    for name, text in texts.items():
        (folder / name).write_text(text)
    figures = {'bars.png': _plot_bars(groups)}
    if len({group.size for group in groups}) > 2:
        figures['growth.png'] = _plot_growth(groups)
    for name, figure in figures.items():
        figure.savefig(folder / name, dpi=120)
    return [folder / name for name in (*texts, *figures)]


def _plot_bars(groups: Sequence[Group]) -> Figure:
    """Time and memory of each peer, as multiples of ours."""
    figure = Figure(figsize=(10, 1 + 2.2 * len(groups)), layout='constrained')
    axes = figure.subplots(len(groups), 2, squeeze=False)
    for group, (time, memory) in zip(groups, axes):
        rows = [row for row in group.rows if row.seconds][::-1]
        colours = ['C0' if row.peer.startswith(OURS) else 'C7' for row in rows]
        names = [row.peer for row in rows]
        for axis, values, label in (
                (time, [row.seconds for row in rows], 'seconds a step; dotted: the floor'),
                (memory, [row.memory / 2**30 for row in rows], 'GiB')):
            axis.bar_label(axis.barh(names, values, color=colours), fmt='%.2f', padding=3)
            axis.set_xlabel(label)
            axis.margins(x=0.12)
        time.axvline(group.floor, color='C3', linestyle=':')
        time.set_title(group.title, loc='left', fontsize='medium')
        memory.set_yticks([])
    return figure


def _plot_growth(groups: Sequence[Group]) -> Figure:
    """Time and memory of one image against its side, per peer; one row for each kind of group."""
    kinds = list(dict.fromkeys((g.variant, g.training, g.precision) for g in groups))
    figure = Figure(figsize=(10, 1 + 3 * len(kinds)), layout='constrained')
    for kind, axes in zip(kinds, figure.subplots(len(kinds), 2, squeeze=False)):
        same = [g for g in groups if (g.variant, g.training, g.precision) == kind]
        for peer in dict.fromkeys(row.peer for group in same for row in group.rows):
            points = [((group.size[1] * group.size[2]) ** 0.5, row.seconds / group.size[0],
                       row.memory / 2**30 / group.size[0])
                      for group in same if (row := group.row_of(peer)) and row.seconds]
            for axis, values in zip(axes, (1, 2)):
                axis.plot([p[0] for p in points], [p[values] for p in points], 'o-', label=peer,
                          linewidth=2.5 if peer == OURS else 1)
        for axis, label in zip(axes, ('seconds an image', 'GiB an image')):
            axis.set(xlabel='side of the image', ylabel=label, xscale='log', yscale='log')
            sides = sorted({(group.size[1] * group.size[2]) ** 0.5 for group in same})
            axis.set_xticks(sides, [f'{side:.0f}' for side in sides])
            axis.minorticks_off()
            axis.yaxis.set(major_locator=LogLocator(subs=(1, 2, 5)), major_formatter='{x:g}')
        axes[0].set_title(f'{kind[0]}, {"training" if kind[1] else "inference"}, {kind[2]}',
                          loc='left', fontsize='medium')
        axes[0].legend()
    return figure
