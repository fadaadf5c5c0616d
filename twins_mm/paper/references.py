"""Finds what a run is compared with: the paper's results and the authors' logs."""

from pathlib import Path

from ..models.variants import variant_of
from ..report.nearest_recipe import find_recipe
from ..report.reference import Reference
from ..report.run import Run
from .figures import figures_of
from .official_logs import LOGS


def find_reference(run: Run, configs: Path) -> Reference | None:
    """The recipe in `configs` that is closest to a run, with what is published of its results.

    None if no recipe trains this kind of model.
    """
    recipe = find_recipe(run.name, run.cfg, configs)
    if recipe is None:
        return None
    results = {metric: value for (metric, tta), value in figures_of(recipe.name).items() if not tta}
    variant = variant_of(recipe.name) if recipe.name.startswith('upernet') else None
    return Reference(recipe, results, LOGS.get(variant.name) if variant else None)
