"""Results as tables in Markdown."""

from collections.abc import Sequence
from statistics import median

from ..paper.figures import TABLES
from ..report.text_table import format_table
from .measure import Case, Measurement
from .peers import size_of
from .results import OURS, Group, Result

NOISY = 0.1


def describe_groups(groups: Sequence[Group]) -> str:
    """Markdown, a table for each group; time and memory also as multiples of ours."""
    lines = []
    for group in groups:
        ours = group.row_of(OURS)
        lines += [f'**{group.title}** (lower bound: {group.lower_bound * 1e3:.0f} ms)', '']
        if group.noise > NOISY:
            lines += [
                f'The machine was noisy: a product of matrices varied by {group.noise:.0%}. '
                'Measure again.',
                '',
            ]
        lines += [
            format_table(
                ['', 'ms', 'images/s', 'time / ours', 'time / lower bound', 'MiB', 'memory / ours'],
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
        f'{row.seconds / group.lower_bound:.2f}',
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
