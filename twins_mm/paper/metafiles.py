"""The configs as OpenMMLab's `mim` and inferencers list them: a metafile a kind of model.

None has weights, because none of the configs has been trained; accuracies are named as the paper's.
"""

from collections.abc import Iterable
from pathlib import Path

import mmengine

from ..atomic_write import replacing
from ..data.data_sets import DATA_SETS
from ..methods import METHODS
from ..tasks import TASKS, Task
from .costs import Cost
from .figures import figures_of

HEADER = """\
# Written by `python tools/model_zoo.py --metafiles`. FLOPs are multiply-accumulates of layers and
# attention, counted as docs/model_zoo.md says; accuracies are the paper's.
# There are no weights: nobody has trained these configs on the full data sets here.
"""


def write_metafiles(costs: Iterable[Cost], root: Path) -> None:
    """Writes `configs/metafiles/`, a file for each method, and their index below `root`."""
    costs = list(costs)
    for method in METHODS:
        task = TASKS[method.task]
        data_set = ', '.join(
            DATA_SETS[name].title.split()[0] for name in method.data_sets or [task.toy_data]
        )
        counted = [cost for cost in costs if cost.counting.method == method.recipe]
        sources = dict.fromkeys(cost.counting.source for cost in counted)
        content = dict(
            Collections=[
                dict(
                    Name=f'{method.title} with {source.name}',
                    Metadata={
                        'Training Data': data_set,
                        'Architecture': [method.title, source.name],
                    },
                    Paper=dict(URL=source.url, Title=source.title),
                )
                for source in sources
            ],
            Models=[
                {
                    'Name': config,
                    'In Collection': f'{method.title} with {cost.counting.source.name}',
                    'Config': f'configs/{config}.py',
                    'Metadata': _describe(cost),
                    'Results': _list_results(config, task, data_set),
                }
                for cost in counted
                for config in cost.configs
            ],
        )
        _write(root / f'configs/metafiles/{method.recipe}.yml', content)
    _write(
        root / 'model-index.yml',
        dict(Import=sorted(f'configs/metafiles/{method.recipe}.yml' for method in METHODS)),
    )


def _write(path: Path, content: dict) -> None:
    with replacing(path) as partial:
        partial.write_text(HEADER + mmengine.dump(content, file_format='yaml', sort_keys=False))


def _describe(cost: Cost) -> dict:
    height, width = cost.counting.image_size
    costs = {
        'Parameters': cost.params,
        'FLOPs': sum(cost.macs),
        'Image Size of FLOPs': f'{height} x {width}',
        'Parameters in Paper (M)': cost.paper.get('params'),
        'FLOPs in Paper (G)': cost.paper.get('flops'),
    }
    return {name: value for name, value in costs.items() if value is not None}


def _list_results(config: str, task: Task, data_set: str) -> list[dict]:
    """What the paper prints of a config, for each thing that is measured."""
    results: dict[str, dict] = {}
    for (metric, tta), figure in figures_of(config).items():
        if metric in task.metrics:
            name, measured = task.metrics[metric]
            results.setdefault(measured, {})[f'{name}{"(ms+flip)" * tta} in Paper'] = figure
    return [
        dict(Task=measured, Dataset=data_set, Metrics=metrics)
        for measured, metrics in results.items()
    ]
