"""Writes the report on training runs, one HTML file."""

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

from ..tasks import task_of
from .extremes import describe_error, draw_extremes
from .html import callout, details, heading, make_page, paragraph, pictures, table
from .nearest_recipe import Recipe, find_recipe
from .run import Run
from .run_plots import plot_run
from .verdict import Verdict, judge, metrics_of

TITLE = 'Training report'
_LOOKS = {'on track': 'good', 'behind': 'warn', 'suspect': 'warn', 'broken': 'bad'}
_FEW_DIFFERENCES = 12


def write_report(runs: Sequence[Run], configs: Path, images: int, out: Path) -> list[Verdict]:
    """Writes report.html and its pictures into `out`; returns the verdicts.

    The recipes are those in `configs`; `images` of a run's validation images are predicted.
    """
    recipes = [find_recipe(run.name, run.cfg, configs) for run in runs]
    verdicts = [judge(run, recipe) for run, recipe in zip(runs, recipes)]
    out.mkdir(parents=True, exist_ok=True)
    parts = [heading(1, TITLE)]
    if len(runs) > 1:
        parts.append(_summarise(runs, verdicts))
    for number, (run, recipe, verdict) in enumerate(zip(runs, recipes, verdicts)):
        # Runs in different places may have the same folder name.
        folder = out / f'{number}_{run.folder.resolve().name}'
        folder.mkdir(exist_ok=True)
        parts += _report(run, recipe, verdict, images, folder)
    (out / 'report.html').write_text(make_page(TITLE, parts))
    return verdicts


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


def _summarise(runs: Sequence[Run], verdicts: Sequence[Verdict]) -> str:
    return table(
        ['run', 'config', 'verdict', 'iteration', 'accuracy'],
        [
            [
                run.folder,
                run.name,
                verdict.state,
                f'{run.iteration:,}',
                ', '.join(
                    f'{name} {run.validation[-1][key]:.1f}' for key, name in metrics_of(run).items()
                ),
            ]
            for run, verdict in zip(runs, verdicts)
        ],
    )


def _report(
    run: Run, recipe: Recipe | None, verdict: Verdict, images: int, folder: Path
) -> list[str]:
    parts = [
        heading(2, f'{run.name} ({run.folder})'),
        callout(_LOOKS.get(verdict.state, 'plain'), 'Is this run on track?', verdict.sentence),
        paragraph(describe_progress(run)),
    ]
    if verdict.checks:
        parts.append(
            table(['', 'check'], [['✓' if good else '✗', text] for good, text in verdict.checks])
        )
    plots = {}
    for name, (figure, caption) in plot_run(run, recipe).items():
        path = folder / f'{name}.png'
        figure.savefig(path)
        plots[path] = caption
    if plots:
        parts += [heading(3, 'Curves'), pictures(plots)]
    if verdict.comparisons:
        parts += [
            heading(3, "Compared with the authors' log"),
            table(
                ['', 'iteration', 'this run', 'the authors', 'difference'],
                [
                    [
                        what,
                        f'{iteration:,}',
                        *(
                            (f'{ours:.3f}', f'{theirs:.3f}', f'{difference:+.0%}')
                            if what == 'loss'
                            else (f'{ours:.2f}', f'{theirs:.2f}', f'{difference:+.2f}')
                        ),
                    ]
                    for what, iteration, ours, theirs, difference in verdict.comparisons
                ],
            ),
            paragraph(
                'The loss of this run is averaged over the last fifth of the iterations up '
                'to the given one.'
            ),
        ]
    return [
        *parts,
        *_show_pictures(run, images, folder),
        *_show_config(run, recipe),
        heading(3, 'Environment'),
        table(['', ''], list(run.environment.items()))
        if run.environment
        else paragraph('Not logged.'),
    ]


def _show_pictures(run: Run, images: int, folder: Path) -> list[str]:
    if not images:
        return []
    title = heading(3, 'Best and worst predictions')
    try:
        best, worst, failures = draw_extremes(run, images, folder / 'predictions')
    except Exception as error:  # the rest of the report doesn't depend on them
        return [title, paragraph(f'Not available: {describe_error(error)}')]
    assert run.checkpoint
    text = (
        f'From up to {images} validation images, evenly spaced, predicted by '
        f'{run.checkpoint.name}. {task_of(run.cfg).how_rated}'
    )
    if failures:
        text += f' Left out because of errors: {len(failures)}, such as {failures[0]}'
    rows = zip_longest(
        [('best', picture) for picture in best], [('worst', picture) for picture in worst]
    )
    return [
        title,
        paragraph(text),
        pictures(
            {
                picture.path: f'{kind}: {picture.score:.2f}, {picture.source.name}'
                for row in rows
                for kind, picture in filter(None, row)
            }
        ),
    ]


def _show_config(run: Run, recipe: Recipe | None) -> list[str]:
    title = heading(3, "Differences from the paper's recipe")
    if recipe is None:
        return [title, paragraph('No recipe of this repository trains this kind of model.')]
    near = '' if recipe.name == run.name else ', the closest recipe'
    if not recipe.differences:
        return [title, paragraph(f'None: the run follows {recipe.path.name}{near}.')]
    differences = table(
        ['key', 'this run', recipe.path.name],
        [[key, _shorten(ours), _shorten(theirs)] for key, ours, theirs in recipe.differences],
    )
    toy = ' This is a toy run: it replaces data, schedule and evaluators.' if run.is_toy else ''
    count = f'Values that differ from {recipe.path.name}{near}: {len(recipe.differences)}.{toy}'
    if len(recipe.differences) > _FEW_DIFFERENCES:
        differences = details('Show them', differences)
    return [title, paragraph(count), differences]


def _shorten(value) -> str:
    text = str(value)
    return text if len(text) <= 80 else f'{text[:77]}...'
