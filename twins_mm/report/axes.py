"""How every plot looks."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure


def make_axes(x: str, y: str) -> tuple[Figure, Axes]:
    """A figure with one plot, whose axes have these labels."""
    figure = Figure(figsize=(5, 3.1), dpi=200, layout='constrained')
    axes = figure.subplots()
    axes.set(xlabel=x, ylabel=y)
    tidy(axes)
    return figure, axes


def tidy(axes: Axes) -> None:
    """A faint grid behind everything, and no frame at the top and on the right."""
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[['top', 'right']].set_visible(False)
