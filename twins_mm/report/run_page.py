"""Writes the report on training runs, one HTML file."""

import sys
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from ..errors import describe_error
from ..files.atomic_write import replacing
from ..tasks import task_of
from .extremes import draw_extremes
from .page import write_page
from .reference import Reference
from .run import Run
from .run_plots import plot_run
from .verdict import Verdict, judge, metrics_of

_LOOKS = {
    'on track': 'good',
    'behind': 'warn',
    'suspect': 'warn',
    'broken': 'bad',
    'unreadable': 'bad',
}


def write_report(
    runs: Sequence[Run], references: Sequence[Reference | None], images: int, out: Path
) -> list[Verdict]:
    """Writes report.html and its pictures into `out`; returns the verdicts.

    Each run is compared with its reference; `images` of its validation images are predicted. One
    whose config has unexpected values is 'unreadable', with the reason.
    """
    verdicts, sections = [], []
    for number, (run, reference) in enumerate(zip(runs, references)):
        # Runs in different folders may have the same name.
        folder = out / f'{number}_{run.folder.resolve().name}'
        folder.mkdir(parents=True, exist_ok=True)
        try:
            verdict = judge(run, reference)
            described = _describe(run, reference, verdict, images, folder)
        except Exception as error:  # a config can hold anything
            if isinstance(error, OSError) or sys.flags.dev_mode:
                raise
            verdict, described = _explain(error), {}
        verdicts.append(verdict)
        sections.append(
            dict(
                run=run,
                verdict=verdict,
                look=_LOOKS.get(verdict.state, 'plain'),
                summary=(run.folder, run.name, verdict.state, f'{run.iteration:,}', _accuracy(run)),
                **described,
            )
        )
    write_page(out / 'report.html', 'report.html', title='Training report', sections=sections)
    return verdicts


def _accuracy(run: Run) -> str:
    """The latest main metrics."""
    metrics = metrics_of(run).items()
    return ', '.join(f'{name} {run.validation[-1][key]:.1f}' for key, name in metrics)


def _explain(error: Exception) -> Verdict:
    return Verdict(
        'unreadable',
        f'This run cannot be judged: its config or its log has unexpected values '
        f'({describe_error(error)}). For the traceback, run the same command with `python -X dev`.',
    )


def describe_progress(run: Run) -> str:
    """A run's progress, and the time that it still needs."""
    if not run.training:
        return 'No training has been logged.'
    if run.is_finished:
        return f'Finished: {run.iterations:,} iterations. Last logged {run.logged:%Y-%m-%d %H:%M}.'
    text = f'Iteration {run.iteration:,}'
    if run.iterations:
        text += f' of {run.iterations:,} ({run.iteration / run.iterations:.0%})'
        if run.seconds:
            hours = (run.iterations - run.iteration) * run.seconds / 3600
            text += f', {hours:.1f} hours to go at {run.seconds:.2f} s each, without validation'
    return f'{text}. Last logged {run.logged:%Y-%m-%d %H:%M}.'


def _describe(
    run: Run, reference: Reference | None, verdict: Verdict, images: int, folder: Path
) -> dict[str, Any]:
    """What the page says about a run; its pictures go into `folder`."""
    recipe = reference.recipe if reference else None
    return dict(
        recipe=recipe,
        progress=describe_progress(run),
        checks=[('✓' if passed else '✗', text) for passed, text in verdict.checks],
        plots=_save_plots(run, reference, folder),
        comparisons=[_format(*comparison) for comparison in verdict.comparisons],
        predictions=_predict(run, images, folder / 'predictions') if images > 0 else None,
        differences=[
            (key, _shorten(ours), _shorten(theirs))
            for key, ours, theirs in (recipe.differences if recipe else ())
        ],
    )


def _save_plots(run: Run, reference: Reference | None, folder: Path) -> dict[Path, str]:
    captions = {}
    for name, (figure, caption) in plot_run(run, reference).items():
        path = folder / f'{name}.png'
        with replacing(path) as partial:
            figure.savefig(partial)
        captions[path] = caption
    return captions


def _format(
    what: str, iteration: int, ours: float, theirs: float, difference: float
) -> tuple[str, ...]:
    """A row of the comparison with the authors' log; only losses differ by a share."""
    number, change = ('.3f', '+.0%') if what == 'loss' else ('.2f', '+.2f')
    return (
        what,
        f'{iteration:,}',
        f'{ours:{number}}',
        f'{theirs:{number}}',
        f'{difference:{change}}',
    )


def _predict(run: Run, images: int, folder: Path) -> dict[str, Any]:
    """Draws the best and the worst predictions, or says why there are none."""
    try:
        best, worst, failures = draw_extremes(run, images, folder)
    except Exception as error:  # the rest of the report doesn't depend on them
        return dict(error=describe_error(error))
    assert run.checkpoint
    rows = zip_longest(
        [('best', picture) for picture in best], [('worst', picture) for picture in worst]
    )
    return dict(
        error=None,
        images=images,
        checkpoint=run.checkpoint.name,
        how_rated=task_of(run.cfg).how_rated,
        failures=failures,
        captions={
            picture.path: f'{kind}: {picture.score:.2f}, {picture.source.name}'
            for row in rows
            for kind, picture in filter(None, row)
        },
    )


def _shorten(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f'{text[:77]}...'
