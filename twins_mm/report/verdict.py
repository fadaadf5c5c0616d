"""Judges whether a training run is on track."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ..config import describe_batch
from ..tasks import TASKS, task_of
from .nearest_recipe import Recipe, expected_lr
from .reference import PublishedLog, Reference
from .run import Run, count_iterations

# Noisy losses are averaged over this last share of the iterations so far.
WINDOW = 0.2


class Comparison(NamedTuple):
    """Results of the run and the authors at one of their iterations; relative for the loss."""

    what: str
    iteration: int
    ours: float
    theirs: float
    difference: float


class Check(NamedTuple):
    """A basic fact, and whether it is as it should be."""

    good: bool
    text: str


@dataclass
class Verdict:
    """Whether a run is on track.

    Attributes:
        state: 'on track', 'behind', 'suspect', 'broken', 'toy', 'unknown' or 'unreadable'.
        sentence: The verdict in words, with figures.
    """

    state: str
    sentence: str
    comparisons: list[Comparison] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)


def comparable(run: Run, reference: Reference | None) -> Reference | None:
    """The reference, if the run is comparable: it is not a toy run and has the same classes."""
    if run.is_toy or reference is None or reference.recipe.has_other_classes:
        return None
    return reference


def recipe_rates(run: Run, recipe: Recipe, iterations: int) -> list[float]:
    """The recipe's learning rates, scaled to the run's batch size if the run does so.

    They end where the recipe ends, if that is earlier; from there on, the last one stays.
    """
    scale = run.batch / recipe.batch if _scales(run) else 1.0
    length = count_iterations(recipe.cfg, run.epoch_length)
    return expected_lr(recipe.cfg, min(iterations, length or iterations), run.epoch_length, scale)


def metrics_of(run: Run) -> dict[str, str]:
    """The keys and names of the run's main metrics."""
    last = run.validation[-1] if run.validation else {}
    return {
        key: name
        for task in TASKS.values()
        for key, (name, _) in task.metrics.items()
        if key in last
    }


def judge(run: Run, reference: Reference | None) -> Verdict:
    """Judges a run by the authors' log, else by the paper's results, else by basic checks."""
    reference = comparable(run, reference)
    checks = list(_check(run, reference and reference.recipe))
    if run.left_out:
        words = 'damaged, or have no step or loss, and are left out'
        checks.append(Check(False, f'Lines of scalars.json that are {words}: {run.left_out:,}.'))
    faults = [check.text for check in checks if not check.good]
    if not run.training:
        verdict = Verdict('unknown', ' '.join(['No training has been logged yet.', *faults]))
    elif not all(math.isfinite(line['loss']) for line in run.training):
        verdict = Verdict('broken', f'Broken: {faults[0]}')
    elif run.is_toy:
        verdict = Verdict(
            'toy',
            'A toy run: toy data, random weights, a short schedule. It only '
            f'shows whether the config runs and learns. {_describe_end(run)}',
        )
    elif reference and reference.log and all(line['loss'] > 0 for line in run.training):
        verdict = _compare_with_log(run, reference.log)
    else:
        verdict = _compare_with_paper(run, reference, faults)
    verdict.checks = checks
    return verdict


def loss_ratio(run: Run, log: PublishedLog, iteration: int) -> float:
    """The run's loss over the authors', averaged over the last fifth up to `iteration`."""
    points = [(line['step'] // run.accumulation, line['loss']) for line in run.training]
    steps, losses = zip(
        *[(step, loss) for step, loss in points if (1 - WINDOW) * iteration < step <= iteration]
    )
    return float(np.exp(np.mean(np.log(losses) - np.log(log.loss_at(steps)))))


def _compare_with_log(run: Run, log: PublishedLog) -> Verdict:
    # The authors' iterations are weight updates.
    reached = run.iteration // run.accumulation
    logged = {line['step'] // run.accumulation for line in run.training}
    latest = max((step for step in logged if step <= log.iterations[-1]), default=0)
    comparisons = []
    for point in sorted({*log.iterations, max(latest, log.iterations[1])} & logged):
        (theirs,) = log.loss_at([point])
        ratio = loss_ratio(run, log, point)
        comparisons.append(Comparison('loss', point, ratio * theirs, theirs, ratio - 1))
    if reached < log.iterations[1]:
        first, second, *_ = log.iterations
        return Verdict(
            'unknown',
            "Too early to tell: in the authors' warm-up, only the losses at "
            f'iterations {first:,} and {second:,} are known. {_describe_end(run)}',
            comparisons,
        )
    loss = comparisons[-1]
    mious = [
        Comparison('mIoU', step, line['mIoU'], theirs, line['mIoU'] - theirs)
        for line in run.validation
        if 'mIoU' in line
        if (theirs := log.miou_at(step := line['step'] // run.accumulation))
    ]
    loss_words = (
        f'the loss is {_above_or_below(loss.difference, ".0%")} theirs (interpolated '
        'between five points of their log, so only accurate to '
        f'{math.expm1(log.loss_tolerance):.0%})'
    )
    if mious:
        last, tolerance = mious[-1], task_of(run.cfg).chance
        gap = last.difference
        words = (
            f'at iteration {last.iteration:,} mIoU is {last.ours:.2f}, '
            f"{_above_or_below(gap, '.2f')} the authors' {last.theirs:.2f} at the same point "
            f'(up to {tolerance:.1f} may be chance); {loss_words}'
        )
    else:
        gap, tolerance = -math.log1p(loss.difference), log.loss_tolerance
        words = f'at iteration {loss.iteration:,} {loss_words}; no mIoU to compare with yet'
    state, head = _rate(gap, tolerance, 'the authors')
    remark = (
        ''
        if run.batch == log.batch
        else (f" The authors' batch size was {log.batch}, this run's is {run.batch}.")
    )
    return Verdict(state, f'{head}: {words}.{remark}', [*comparisons, *mious])


def _compare_with_paper(run: Run, reference: Reference | None, faults: list[str]) -> Verdict:
    paper = reference.results if reference else {}
    figures = [
        (name, run.validation[-1][key], paper[key])
        for key, name in metrics_of(run).items()
        if key in paper
    ]
    if run.is_finished and figures:
        tolerance = task_of(run.cfg).chance
        state, head = _rate(
            min(ours - theirs for _, ours, theirs in figures), tolerance, 'the paper'
        )
        words = ', '.join(
            f"{name} is {ours:.1f}, {_above_or_below(ours - theirs, '.1f')} the paper's {theirs}"
            for name, ours, theirs in figures
        )
        return Verdict(
            state,
            ' '.join(
                [f'{head}: finished, {words} (up to {tolerance:.1f} may be chance).', *faults]
            ),
        )
    if faults:
        return Verdict('suspect', f'Something is off: {faults[0]}')
    if reference is None:
        return Verdict(
            'unknown',
            'No problems found. There is nothing to compare with: the paper '
            f'has no such model with these classes. {_describe_end(run)}',
        )
    goal = ', '.join(f'{name} {theirs}' for name, _, theirs in figures)
    goal = f" The paper's final results: {goal}." if goal else ''
    return Verdict(
        'unknown',
        'No problems found. The authors published no log of this recipe, so '
        f'the expected progress is unknown. {_describe_end(run)}{goal}',
    )


def _rate(gap: float, tolerance: float, other: str) -> tuple[str, str]:
    """The state of a run that is `gap` better than another one, and the phrase for it."""
    state = 'behind' if gap < -tolerance else 'on track'
    return state, f'Ahead of {other}' if gap > tolerance else state.capitalize()


def _describe_end(run: Run) -> str:
    """The first and last losses, and the latest metrics."""
    start, end = _first_and_last_loss(run)
    words = f'Loss {start:.3g} at first, {end:.3g} now'
    for key, name in metrics_of(run).items():
        words += f'; {name} {run.validation[-1][key]:.1f}'
    return words + '.'


def _first_and_last_loss(run: Run) -> tuple[float, float]:
    """The mean losses of the first and of the last tenth of what was logged."""
    losses = [line['loss'] for line in run.training]
    count = max(1, len(losses) // 10)
    return np.mean(losses[:count]), np.mean(losses[-count:])


def _check(run: Run, recipe: Recipe | None) -> Iterator[Check]:
    if not run.training:
        return
    bad = next((line for line in run.training if not math.isfinite(line['loss'])), None)
    if bad:
        yield Check(False, f'The loss is {bad["loss"]} at iteration {bad["step"]:,}.')
    else:
        start, end = _first_and_last_loss(run)
        falls = len(run.training) < 20 or bool(end < start)
        yield Check(
            falls,
            f'The loss is always finite; it was {start:.3g} in the first tenth and '
            f'{end:.3g} in the last{"" if falls else ": it does not fall"}.',
        )
    if not recipe:
        return
    batch = f'The batch size is {describe_batch(run.cfg, run.processes)}'
    if run.batch == recipe.batch:
        yield Check(True, f'{batch}, as in the recipe.')
    else:
        scaled = _scales(run)
        yield Check(
            scaled,
            f"{batch}, the recipe's is {recipe.batch}; the learning rate is "
            f'{"scaled in proportion" if scaled else "not scaled (--auto-scale-lr)"}.',
        )
    if run.by_epoch and not run.epoch_length:
        return
    rates = recipe_rates(run, recipe, run.iteration)
    for step, lr in ((line['step'], line['lr']) for line in run.training):
        rate = rates[min(step, len(rates)) - 1]
        if not math.isclose(lr, rate, rel_tol=1e-3, abs_tol=1e-12):
            yield Check(
                False,
                "The learning rate deviates from the recipe's at iteration "
                f'{step:,}: {lr:.3g} instead of {rate:.3g}.',
            )
            return
    yield Check(True, "The learning rate follows the recipe's schedule at every iteration.")


def _scales(run: Run) -> bool:
    """Whether the run was started with `--auto-scale-lr`."""
    return bool((run.cfg.get('auto_scale_lr') or {}).get('enable'))


def _above_or_below(difference: float, digits: str) -> str:
    return f'{abs(difference):{digits}} {"above" if difference > 0 else "below"}'
