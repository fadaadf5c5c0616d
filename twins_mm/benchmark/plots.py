"""Results as plots."""

from collections.abc import Sequence
from itertools import cycle

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from ..report.axes import tidy
from .peers import PEERS
from .results import OURS, Group


def plot_ratios(groups: Sequence[Group]) -> Figure:
    """Time and memory of each peer as multiples of ours, a line for each group."""
    figure = Figure(figsize=(10, 1.3 + 0.4 * len(groups)), dpi=160, layout='constrained')
    panels = figure.subplots(1, 2, sharey=True)
    peers = [peer for peer in _peers(groups) if peer != OURS]
    ours = [row for group in groups if (row := group.row_of(OURS))]
    for axes, quantity, label in zip(panels, ('seconds', 'memory'), ('time', 'memory')):
        axes.axvline(1, color='C0', linewidth=2.5, label=OURS, zorder=1)
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
        tidy(axes)
    panels[0].plot(
        [group.lower_bound / (base.seconds or 1) for group, base in zip(groups, ours)],
        range(len(groups)),
        '|',
        color='black',
        markersize=12,
        label='lower bound',
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
                    linewidth=2.5 if peer == OURS else 1,
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
            tidy(axis)
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
    others = [name for name in PEERS if not name.startswith(OURS)]
    return f'C{1 + others.index(peer)}' if peer in others else 'C0'
