"""Plots a run's curves with the authors' log, the recipe and the paper's results."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from .axes import make_axes
from .nearest_recipe import Recipe
from .reference import PublishedLog, Reference
from .run import Run
from .verdict import WINDOW, comparable, metrics_of, recipe_rates

_OURS = dict(color='C0', label='this run')
_AUTHORS = dict(color='C3', label="the authors' log")
_RECIPE = dict(color='C3', linestyle='--', linewidth=1)
# A curve of fewer points shows them: of one alone, there is no line.
_FEW = 20


def plot_run(run: Run, reference: Reference | None) -> dict[str, tuple[Figure, str]]:
    """Figures and their captions, by name, for everything that was logged."""
    reference = comparable(run, reference)
    log = reference.log if reference else None
    plots = {}
    if run.training:
        plots['loss'] = _plot_loss(run, log)
        plots['learning_rate'] = _plot_learning_rate(run, reference and reference.recipe)
    if metrics_of(run):
        plots['accuracy'] = _plot_accuracy(run, reference.results if reference else {}, log)
    if run.training:
        plots['time'] = _plot_time(run)
    return plots


def _plot_loss(run: Run, log: PublishedLog | None) -> tuple[Figure, str]:
    figure, axes = _make_axes('iteration', 'loss')
    steps, losses = map(np.array, _series(run.training, 'loss'))
    line = dict(color='C0', **_points(run))
    axes.plot(steps, losses, linewidth=1, alpha=0.35, label='this run, as logged', **line)
    starts = np.searchsorted(steps, (1 - WINDOW) * steps)
    averages = [losses[start:end].mean() for end, start in enumerate(starts, 1)]
    axes.plot(steps, averages, label='this run, averaged', **line)
    caption = 'Loss, and its average over the last fifth of the iterations so far.'
    if log:
        axes.plot(run.accumulation * np.array(log.iterations), log.losses, 'o:', **_AUTHORS)
        caption += (
            " The points are from the authors' log; the dotted line between them is interpolated."
        )
    growth = axes.dataLim.xmax / max(1, axes.dataLim.xmin)
    if growth >= 10:
        # Powers of ten alone would leave less than two numbers; with others, these would overlap.
        _make_logarithmic(axes.xaxis, subs=(1, 2, 5) if growth < 100 else (1,), form='{x:,.0f}')
    if not (losses <= 0).any():
        _make_logarithmic(axes.yaxis, subs=(1, 2, 5), form='{x:g}')
        caption += f' {"Both axes are" if growth >= 10 else "The vertical axis is"} logarithmic.'
    axes.legend()
    return figure, caption


def _plot_learning_rate(run: Run, recipe: Recipe | None) -> tuple[Figure, str]:
    figure, axes = _make_axes('iteration', 'learning rate')
    axes.plot(*_series(run.training, 'lr'), linewidth=2, **_OURS, **_points(run))
    caption = 'Learning rate.'
    if recipe and run.iterations:
        rates = recipe_rates(run, recipe, run.iterations)
        every = max(1, len(rates) // 1000)
        axes.plot(range(1, len(rates) + 1, every), rates[::every], **_RECIPE, label='the recipe')
        axes.legend()
        caption = "Learning rate, and the recipe's over the whole run."
    axes.ticklabel_format(axis='y', style='sci', scilimits=(0, 0))
    return figure, caption


def _plot_accuracy(
    run: Run, results: Mapping[str, float], log: PublishedLog | None
) -> tuple[Figure, str]:
    metrics = metrics_of(run)
    figure, axes = _make_axes('epoch' if run.counts_epochs else 'iteration', 'percent')
    for number, (key, name) in enumerate(metrics.items()):
        axes.plot(
            *_series(run.validation, key), 'o-', color=f'C{number}', label=f'{name}, this run'
        )
    caption = f'{" and ".join(metrics.values())} on validation.'
    if log:
        interval = run.accumulation * log.validation_interval
        axes.plot(interval * np.arange(1, len(log.mious) + 1), log.mious, 'o:', **_AUTHORS)
        caption += " The red points are from the authors' log."
    for number, (key, name) in enumerate(metrics.items()):
        if key in results:
            axes.axhline(
                results[key],
                color=f'C{number}',
                linestyle='--',
                linewidth=1,
                label=f"{name}, the paper's final result",
            )
    axes.legend()
    return figure, caption


def _plot_time(run: Run) -> tuple[Figure, str]:
    figure, axes = _make_axes('iteration', 'seconds per iteration')
    line = dict(linewidth=1, **_points(run))
    axes.plot(*_series(run.training, 'time'), color='C0', label='total', **line)
    axes.plot(*_series(run.training, 'data_time'), color='C1', label='waiting for data', **line)
    axes.margins(y=0.4)  # for the legend
    axes.set_ylim(bottom=0)
    axes.legend(loc='upper right')
    memory = max((line.get('memory', 0) for line in run.training), default=0)
    caption = (
        f'Seconds per iteration. Peak GPU memory: {memory:,.0f} MB.'
        if memory
        else 'Seconds per iteration. No GPU, so memory was not logged.'
    )
    return figure, caption


def _points(run: Run) -> dict[str, Any]:
    return dict(marker='.') if len(run.training) < _FEW else {}


def _make_logarithmic(axis: Axis, subs: Sequence[int], form: str) -> None:
    """Labels `subs` times the powers of ten, and nothing else."""
    axis.axes.set(**{f'{axis.axis_name}scale': 'log'})
    axis.set(major_locator=LogLocator(subs=subs), major_formatter=form)
    axis.set(minor_formatter=NullFormatter())


def _make_axes(x: str, y: str) -> tuple[Figure, Axes]:
    """Axes whose horizontal one counts."""
    figure, axes = make_axes(x, y)
    whole = MaxNLocator(5, integer=True, min_n_ticks=1)
    axes.xaxis.set(major_locator=whole, major_formatter='{x:,.0f}')
    return figure, axes


def _series(lines: list[dict], key: str) -> tuple[list[int], list[float]]:
    points = [(line['step'], line[key]) for line in lines if key in line]
    return [step for step, _ in points], [value for _, value in points]
