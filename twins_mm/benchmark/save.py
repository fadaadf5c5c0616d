"""Writes results as files."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ..files.atomic_write import replacing
from .plots import plot_growth, plot_ratios
from .results import OURS, Group
from .tables import describe_groups


def save_results(groups: Sequence[Group], machine: str, folder: Path) -> list[Path]:
    """Writes results.json, results.md and the plots that the groups allow; returns the paths."""
    texts = {
        'results.json': json.dumps(
            dict(machine=machine, groups=[asdict(group) for group in groups]), indent=1
        ),
        'results.md': f'{machine}\n\n{describe_groups(groups)}',
    }
    for name, text in texts.items():
        with replacing(folder / name) as partial:
            partial.write_text(text, encoding='utf-8')
    figures = {}
    if all(group.row_of(OURS) for group in groups):
        figures['ratios.png'] = plot_ratios(groups)
    if len({group.size for group in groups}) > 2:
        figures['growth.png'] = plot_growth(groups)
    for name, figure in figures.items():
        with replacing(folder / name) as partial:
            figure.savefig(partial)
    return [folder / name for name in (*texts, *figures)]
