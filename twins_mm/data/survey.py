"""Reads every image and annotation of a config's data sets once, and finds faults."""

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset, Compose
from mmengine.registry import DATASETS, DefaultScope
from rich.progress import track
from torch.utils.data import DataLoader

from ..config import data_sets, heads_with_classes, resize_scale, walk
from ..errors import UserError
from ..tasks import Task, task_of
from ..tasks.findings import KINDS, Fault, ImageContents
from .in_place import refuse_byte_order_mark

# How many findings of a kind are kept; all are counted.
_KEPT = 20
_BATCH = 8
# Object sizes are counted in bins, this many for each doubling of the size.
BINS_PER_OCTAVE = 2


class _Record(NamedTuple):
    """An image as a worker read it: width and height, a hash of its pixels, what is in it."""

    path: str
    size: tuple[int, int] = (0, 0)
    digest: bytes = b''
    contents: ImageContents = ImageContents()


@dataclass
class Survey:
    """What is in a data set.

    Attributes:
        name: The splits that use it: 'train', or 'val and test'.
        dataset: OpenMMLab's data set.
        classes: The names of its classes.
        is_empty: Whether the data set has no image, so that it can't be read.
        left_out: How many images the data set itself leaves out, see its `filter_cfg`.
        amounts: Objects or pixels of each label.
        images: Images with each label.
        image_sizes: Images of each width and height.
        object_sizes: Objects in each bin: `BINS_PER_OCTAVE` times the binary logarithm of the size
            to which the model's test pipeline resizes them, in pixels.
        findings: For each kind, how many there are, and the first ones.
        digests: Paths by hash of the pixels.
    """

    name: str
    dataset: BaseDataset
    classes: tuple[str, ...]
    is_empty: bool = False
    left_out: int = 0
    amounts: Counter = field(default_factory=Counter)
    images: Counter = field(default_factory=Counter)
    image_sizes: Counter = field(default_factory=Counter)
    object_sizes: Counter = field(default_factory=Counter)
    findings: dict[str, tuple[int, list[Fault]]] = field(default_factory=dict)
    digests: dict[bytes, str] = field(default_factory=dict)

    def add(self, *findings: Fault) -> None:
        """Counts findings, and keeps the first of each kind."""
        for finding in findings:
            count, kept = self.findings.get(finding.kind, (0, []))
            self.findings[finding.kind] = count + 1, kept + [finding] * (count < _KEPT)

    @property
    def has_errors(self) -> bool:
        return any(KINDS[kind].is_error for kind in self.findings)

    def steps(self, *kinds: str) -> list:
        """The steps of the data set's pipeline whose names begin with 'Load', for example."""
        steps = self.dataset.pipeline.transforms
        return [step for step in steps if type(step).__name__.startswith(kinds)]


def survey_data(cfg: Config, workers: int) -> list[Survey]:
    """Surveys the data sets for training, validation and testing, each once.

    Images are read by `workers` processes; 0 reads them in this one.

    Raises:
        UserError: A data set can't be built from the config, or its annotation file not be parsed.
    """
    task = task_of(cfg)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        surveys = []
        for name, config in _list_sets(cfg):
            survey = _open(name, config, task)
            _check_config(survey, cfg)
            if not survey.is_empty:
                _read_images(survey, task, resize_scale(cfg), workers)
                survey.add(*task.judge(survey))
            surveys.append(survey)
        _compare(surveys)
    return surveys


def _list_sets(cfg: Config) -> list[tuple[str, dict]]:
    """The name and the config of each data set; what val and test share, once."""
    found: list[tuple[str, dict]] = []
    for split in ('train', 'val', 'test'):
        configs = [config for config in data_sets(cfg.get(f'{split}_dataloader') or {}) if config]
        if split == 'test' and [('val', config) for config in configs] == found[-1:]:
            found[-1:] = [('val and test', config) for config in configs]
        elif len(configs) == 1:
            found.append((split, configs[0]))
        else:
            found += [(f'{split} {number}', config) for number, config in enumerate(configs, 1)]
    return found


class _EmptyError(Exception):
    """The data set has no image."""


def _open(name: str, config: dict, task: Task) -> Survey:
    """Builds a data set and reads its annotations, with a look at what it leaves out."""
    print(f'{name}: reading annotations', flush=True)
    classes = (config.get('metainfo') or {}).get('classes')
    if isinstance(classes, str):
        raise UserError(f'{name}: metainfo.classes must be a list of names, not {classes!r}')
    try:
        dataset = DATASETS.build({**config, 'lazy_init': True})
        survey = Survey(name, dataset, tuple(dataset.metainfo['classes']))
    except Exception as error:
        raise UserError(
            f'{name}: {config.get("type")} cannot be built: {type(error).__name__}: {error}'
        ) from error
    refuse_byte_order_mark(dataset.ann_file)
    keep = dataset.filter_data

    def keep_and_count() -> list[dict]:
        kept = keep()
        survey.left_out = len(dataset.data_list) - len(kept)
        if not kept:
            raise _EmptyError
        return kept

    dataset.filter_data = keep_and_count
    try:
        with task.watch(survey):
            dataset.full_init()
        del dataset.filter_data
    except _EmptyError:
        survey.is_empty = True
        survey.add(Fault('no_objects' if survey.left_out else 'no_images', _source_of(dataset)))
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f'{name}: {_source_of(dataset)} cannot be read: {type(error).__name__}: {error}'
        ) from error
    return survey


def _source_of(dataset: BaseDataset) -> str:
    """Where a data set's annotations are: a file, or folders."""
    return dataset.ann_file or ', '.join(map(str, dataset.data_prefix.values()))


def _check_config(survey: Survey, cfg: Config) -> None:
    for head in heads_with_classes(cfg):
        if head['num_classes'] != len(survey.classes):
            survey.add(
                Fault(
                    'class_count',
                    cfg.filename or '',
                    f'{head.get("type")} has num_classes={head["num_classes"]}; the '
                    f'data set has {len(survey.classes)} classes',
                )
            )
    for split in survey.name.split(' and '):
        for node in walk(cfg.get(f'{split}_evaluator')):
            path = node.get('ann_file')
            if path and os.path.abspath(path) != os.path.abspath(survey.dataset.ann_file):
                survey.add(
                    Fault('evaluator_file', path, f'{split} reads {_source_of(survey.dataset)}')
                )


class _Reader(torch.utils.data.Dataset):
    """Reads an image of a data set, as its pipeline does, and checks what is in it."""

    def __init__(self, survey: Survey, task: Task):
        self.dataset = survey.dataset
        self.classes = survey.classes
        self.check = task.check
        loaders = survey.steps('Load')
        self.load_image = Compose([step for step in loaders if 'Image' in type(step).__name__])
        if not self.load_image.transforms:
            raise UserError(f'{survey.name}: the pipeline has no step that loads images')
        self.load_annotations = Compose(
            [step for step in loaders if 'Annotation' in type(step).__name__]
        )

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> _Record:
        info = self.dataset.get_data_info(index)
        path = str(info['img_path'])
        try:
            info = self.load_image(info)
            image = np.ascontiguousarray(info['img'])
        except Exception as error:  # files and decoders may raise anything
            text = str(error).replace(path, 'the file') or type(error).__name__
            foreign = '\\' in path and not os.path.exists(path)
            fault = Fault('backslash' if foreign else 'unreadable', path, text)
            return _Record(path, contents=ImageContents(findings=(fault,)))
        height, width = image.shape[:2]
        return _Record(
            path,
            (width, height),
            hashlib.blake2b(image, digest_size=16).digest(),
            self.check(info, self.load_annotations, len(self.classes)),
        )


def _read_images(survey: Survey, task: Task, scale: Sequence[int] | None, workers: int) -> None:
    reader = _Reader(survey, task)
    batches = DataLoader(reader, _BATCH, num_workers=workers, collate_fn=list)
    for batch in track(batches, f'{survey.name}: reading {len(reader):,} images'):
        for record in batch:
            _add_record(survey, record, scale)


def _add_record(survey: Survey, record: _Record, scale: Sequence[int] | None) -> None:
    survey.add(*record.contents.findings)
    if not record.digest:
        return
    survey.digests.setdefault(record.digest, record.path)
    survey.image_sizes[record.size] += 1
    survey.amounts.update(record.contents.amounts)
    survey.images.update(record.contents.amounts.keys())
    ratio = resize_ratio(record.size, scale)
    for size in record.contents.sizes:
        survey.object_sizes[round(BINS_PER_OCTAVE * np.log2(max(1, ratio * size)))] += 1


def resize_ratio(size: tuple[int, int], scale: Sequence[int] | None) -> float:
    """By how much the test pipeline resizes an image of this width and height."""
    return min(max(scale) / max(size), min(scale) / min(size)) if scale else 1.0


def _compare(surveys: list[Survey]) -> None:
    """Finds images of a training set in another set."""
    for first, second in combinations(surveys, 2):
        if not first.name.startswith('train'):  # test is often val at another scale
            continue
        for digest, path in second.digests.items():
            if digest in first.digests:
                second.add(
                    Fault('in_two_sets', path, f'as {first.digests[digest]} in {first.name}')
                )
