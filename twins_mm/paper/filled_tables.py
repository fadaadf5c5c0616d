"""The paper's tables, filled with what a user's runs gave."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ..files.shipped import is_released, paper_name
from ..models.variants import Variant
from ..report.nearest_recipe import find_recipe
from ..report.run import Run
from ..report.text_table import format_table
from .baselines import Baseline, backbone_of
from .figures import TABLES, Column, figures_of

# Tables 5 and 6 have no configs that are trained.
FILLED = (1, 2, 3, 4, 7, 8)


class Key(NamedTuple):
    """What a cell is of."""

    config: str
    metric: str
    tta: bool


@dataclass
class Results:
    """What runs gave.

    Attributes:
        figures: In percent.
        sources: Of a config's figures, without and with multi-scale testing: which run they are
            from, and whether it followed the recipe.
        left_out: A line for each run that has none: why.
        runs: The newest training run of each config, ended or not.
    """

    figures: dict[Key, float] = field(default_factory=dict)
    sources: dict[tuple[str, bool], str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    runs: dict[str, Run] = field(default_factory=dict)


def collect(runs: Iterable[Run], configs: Path) -> Results:
    """Takes figures from the runs that are named as the tables' configs; of several, the newest's.

    They are those of a finished training run's last validation, and those of `tools/test.py`:
    with `--tta` multi-scale testing's; without, the config's where nothing was trained.
    """
    results = Results()
    for run in sorted(runs, key=lambda run: run.logged):
        if run.is_toy:
            results.left_out.append(f'{run.folder}: a toy run')
            continue
        if not figures_of(run.name):
            results.left_out.append(f'{run.folder}: {run.name} is in none of the tables')
            continue
        name = paper_name(run.name)
        if run.training:
            results.runs[name] = run
        found = list(_take(run))
        for tta, metrics, origin in found:
            results.figures |= {Key(name, metric, tta): metrics[metric] for metric in metrics}
            results.sources[name, tta] = (
                f'{run.name}: {origin} in {run.folder}{_doubt(run, configs)}'
            )
        if not found:
            results.left_out.append(
                f'{run.folder}: not finished, at iteration {run.iteration:,} of '
                f'{format(run.iterations, ",") if run.iterations else "?"}'
            )
    return results


def format_filled(number: int, figures: dict[Key, float]) -> str:
    """A table; each of our backbones has three lines: the paper's, yours and the difference.

    So do other backbones that you trained.
    """
    table, lines = TABLES[number], []
    for row, paper in table.rows.items():
        lines.append([row, *('' if value is None else value for value in paper)])
        backbone = backbone_of(row)
        yours = [backbone and figures.get(key_of(column, backbone)) for column in table.columns]
        if isinstance(backbone, Variant) or any(ours is not None for ours in yours):
            lines.append(['- yours', *('' if ours is None else f'{ours:.1f}' for ours in yours)])
            lines.append(
                [
                    '- difference',
                    *(
                        '' if ours is None or theirs is None else f'{ours - theirs:+.1f}'
                        for ours, theirs in zip(yours, paper)
                    ),
                ]
            )
    heads = ['backbone', *(column.head for column in table.columns)]
    return f'**Table {number}: {table.title}**\n\n{format_table(heads, lines)}'


def key_of(column: Column, backbone: Variant | Baseline) -> Key:
    """What a cell is of; its config is '' where none of ours gives the figure."""
    return Key(column.config_of(backbone), column.figure, column.tta)


def _take(run: Run) -> Iterator[tuple[bool, dict[str, float], str]]:
    """With multi-scale testing or not, metrics, and where they are from; the newest last."""
    for test in run.evaluations:
        if test.tta or not run.training:
            yield (
                test.tta,
                test.metrics,
                f'test of {Path(test.checkpoint).name}' + ' with --tta' * test.tta,
            )
    if run.is_finished and run.validation:
        yield False, run.validation[-1], 'last validation'


def _doubt(run: Run, configs: Path) -> str:
    """Why figures may not be those of the paper's recipe; empty where they are."""
    recipe = find_recipe(run.name, run.cfg, configs)
    if recipe is None:
        return '. NOT THE RECIPE: another kind of model'
    text = f', by {recipe.path.relative_to(configs)}' if is_released(recipe.name) else ''
    if run.training and run.batch != recipe.batch:
        text += f'. Batch {run.batch}, not {recipe.batch}'
    if recipe.differences and run.training:
        key, ours, theirs = recipe.differences[0]
        text += (
            f'. NOT THE RECIPE: {key} is {ours} instead of {theirs}; values that differ: '
            f'{len(recipe.differences)} (tools/report.py shows them)'
        )
    return text
