"""The configs as OpenMMLab's `mim` and inferencers list them, and as tables for people.

None has weights, because none of the configs has been trained; accuracies are named as the paper's.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path, PurePath
from typing import NamedTuple

import mmengine
from mmengine.config import Config

from ..checkpoints.heads import HEADS
from ..config import initialisations
from ..data.data_sets import DATA_SETS
from ..files.atomic_write import replacing
from ..files.shipped import FOLDERS
from ..report.text_table import format_table
from ..tasks import TASKS, Task
from .baselines import Baseline
from .costs import Cost
from .figures import figures_of

HEADER = """\
# Written by `python tools/model_zoo.py --metafiles`. FLOPs are multiply-accumulates of layers and
# attention, counted as docs/model_zoo.md says; accuracies are the paper's.
# There are no weights: nobody has trained these configs on the full data sets here.
"""
MARK = '<!-- Written by `python tools/model_zoo.py --metafiles`, from here to the end. -->\n'
LEGEND = """
M: millions of parameters. G: billions of multiply-accumulates, which the paper calls FLOPs, for one
image of the size beside them. Accuracies, in percent, are the paper's: nobody has trained these
configs on the full data sets here.
"""


class Kind(NamedTuple):
    """The models of a method, or classifiers."""

    title: str
    task: Task
    data_sets: tuple[str, ...] = ()

    @property
    def data(self) -> str:
        names = self.data_sets or [self.task.toy_data]
        return ', '.join(DATA_SETS[name].title.split()[0] for name in names)


# By `Counting.method`.
KINDS = {
    **{head.recipe: Kind(head.title, TASKS[head.task], head.data_sets) for head in HEADS},
    '': Kind('Classifier', TASKS['classification']),
}


class Entry(NamedTuple):
    """A config, and what its model costs."""

    path: Path
    cost: Cost

    @property
    def kind(self) -> Kind:
        return KINDS[self.cost.counting.method]

    @property
    def collection(self) -> str:
        backbone, source = self.cost.backbone, self.cost.counting.source
        family = backbone.family if isinstance(backbone, Baseline) else source.name
        return f'{self.kind.title} with {family}'

    @property
    def params(self) -> int:
        """The parameters of the config's model; a classifier's `Cost.params` are its backbone's."""
        return self.cost.params if self.cost.counting.method else self.cost.counted_params

    @property
    def image_size(self) -> str:
        height, width = self.cost.counting.image_size
        return f'{height} x {width}'

    @property
    def figures(self) -> dict[tuple[str, str], float]:
        """What the paper prints, by what is measured and the name of the metric."""
        metrics = self.kind.task.metrics
        return {
            (metrics[metric][1], metrics[metric][0] + '(ms+flip)' * tta): figure
            for (metric, tta), figure in figures_of(self.path.stem).items()
            if metric in metrics
        }


def write_metafiles(costs: Iterable[Cost], configs: Path) -> None:
    """Writes what `list_metafiles` lists."""
    for path, text in list_metafiles(costs, configs).items():
        with replacing(path) as partial:
            partial.write_text(text)


def list_metafiles(costs: Iterable[Cost], configs: Path) -> dict[Path, str]:
    """The texts of each folder's `metafile.yml` and `README.md`, and of `model-index.yml`.

    A config is listed with the first of its costs. A README keeps what stands above its tables.
    """
    entries: dict[Path, Entry] = {}
    for cost in sorted(costs, key=lambda cost: [*KINDS].index(cost.counting.method)):
        for path in cost.configs:
            entries.setdefault(path, Entry(path, cost))
    texts, metafiles = {}, []
    for folder in FOLDERS:
        inside = [entry for path, entry in entries.items() if path.parent == configs / folder]
        if inside:
            metafile, readme = (configs / folder / name for name in ('metafile.yml', 'README.md'))
            metafiles.append(_from_root(metafile, configs))
            texts[metafile] = _dump(
                Collections=_list_collections(inside),
                Models=[_describe(entry, configs) for entry in inside],
            )
            above, _, _ = readme.read_text().partition(MARK)
            texts[readme] = above + MARK + LEGEND + _format_tables(inside)
    texts[configs.parent / 'model-index.yml'] = _dump(Import=metafiles)
    return texts


def _dump(**content: list) -> str:
    return HEADER + mmengine.dump(content, file_format='yaml', sort_keys=False)


def _from_root(path: Path, configs: Path) -> str:
    return f'configs/{path.relative_to(configs).as_posix()}'


def _list_collections(entries: Sequence[Entry]) -> list[dict]:
    return [
        {
            'Name': name,
            'Metadata': {
                'Training Data': entry.kind.data,
                'Architecture': name.split(' with '),
            },
            'Paper': dict(
                URL=entry.cost.counting.source.url, Title=entry.cost.counting.source.title
            ),
        }
        for name, entry in {entry.collection: entry for entry in entries}.items()
    ]


def _describe(entry: Entry, configs: Path) -> dict:
    metadata = {
        'Parameters': entry.params,
        'FLOPs': sum(entry.cost.macs),
        'Image Size of FLOPs': entry.image_size,
        'Parameters in Paper (M)': entry.cost.paper.get('params'),
        'FLOPs in Paper (G)': entry.cost.paper.get('flops'),
    }
    results: dict[str, dict] = {}
    for (measured, name), figure in entry.figures.items():
        results.setdefault(measured, {})[f'{name} in Paper'] = figure
    return {
        'Name': entry.path.stem,
        'In Collection': entry.collection,
        'Config': _from_root(entry.path, configs),
        'Metadata': {key: value for key, value in metadata.items() if value is not None},
        'Results': [
            dict(Task=measured, Dataset=entry.kind.data, Metrics=metrics)
            for measured, metrics in results.items()
        ],
    }


def _format_tables(entries: Sequence[Entry]) -> str:
    """A table for each kind of model."""
    return ''.join(
        f'\n## {kind.title}\n\n{_format_table(list(group))}\n'
        for kind, group in groupby(entries, lambda entry: entry.kind)
    )


def _format_table(entries: Sequence[Entry]) -> str:
    metrics = dict.fromkeys(metric for entry in entries for metric in entry.figures)
    rows = [
        [
            f'[{entry.path.stem}]({entry.path.name})',
            f'{entry.params / 1e6:.1f}',
            f'{sum(entry.cost.macs) / 1e9:.1f}',
            entry.image_size,
            *(entry.figures.get(metric, '') for metric in metrics),
            _link_weights(entry.path),
        ]
        for entry in entries
    ]
    papers = [f"paper's {name}" for _, name in metrics]
    return format_table(
        ['config', 'M', 'G', 'image', *papers, 'starts from'], rows, text=('starts from',)
    )


def _link_weights(config: Path) -> str:
    """The weights that a config starts from."""
    for start in initialisations(Config.fromfile(config).model.backbone):
        address = start['checkpoint']
        name = address.removeprefix('hf://')
        if name != address:
            return f'[{name}](https://huggingface.co/{name})'
        return f'[{PurePath(name).name}]({name})' if '://' in name else f'`{name}`'
    return 'random weights'
