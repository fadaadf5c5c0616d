"""Classification: the class of an image, by mmpretrain."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

import torch
from mmengine.dataset import Compose
from mmengine.evaluator import BaseMetric, DumpResults
from mmengine.structures import BaseDataElement

from ..files.atomic_write import replacing
from .base import SCORE_THRESHOLD, Output, Region, SurveyedData, Task, count_of, first_name
from .findings import Fault, ImageContents

_MOST_LIKELY = 5


class Classification(Task):
    """Classes of images."""

    name = 'classification'
    scope = 'mmpretrain'
    models = 'classifiers'
    install = 'pip install -e .[imagenet]'

    own_data = dict(type='CustomDataset')
    pack = 'PackInputs'
    counted = 'labels'

    toy_data = 'imagenet'
    toy_batch, toy_iterations = 16, 600
    toy_side = 64
    toy_evaluator = dict(type='Accuracy', topk=(1, 5))

    metrics = {'accuracy/top1': ('top-1', 'Image Classification')}
    # More in 1 of 20 cases, by the standard deviation of 0.1 over 100 seeds in ResNet strikes
    # back (arXiv 2110.00476).
    chance = 0.3
    visualization = dict(type='VisualizationHook', enable=True)
    pictures_option = 'default_hooks.visualization.out_dir'

    output = 'predictions.json'
    ground_truth, prediction = 'gt_label', 'pred_score'
    how_rated = 'The score of an image is the probability that the model gives its class.'

    def check(self, info: dict, load: Compose, classes: int) -> ImageContents:
        if 'gt_label' not in info:  # as in a test set
            return ImageContents()
        label = int(info['gt_label'])
        if not 0 <= label < classes:
            return ImageContents(
                findings=(
                    Fault(
                        'value_without_class',
                        info['img_path'],
                        f'{label}; the {classes} classes are 0 to {classes - 1}',
                    ),
                )
            )
        return ImageContents({label: 1})

    def judge(self, survey: SurveyedData) -> Iterator[Fault]:
        for label, name in enumerate(survey.classes):
            if survey.amounts and not survey.amounts[label]:
                yield Fault('never_seen', str(survey.dataset.img_prefix), name)

    @property
    def dump_metric(self) -> type[BaseMetric]:
        return DumpResults

    def open_output(self, path: Path, dataset_meta: Mapping[str, Any]) -> Output:
        return _ClassFile(path, dataset_meta)

    def list_regions(self, annotation: torch.Tensor) -> list[Region]:
        """Each true class of an image, or the most likely of all classes' scores."""
        if not annotation.is_floating_point():
            return [Region(label) for label in annotation.tolist()]
        return [Region(label, score=annotation[label].item()) for label in _most_likely(annotation)]

    def rate(self, sample: BaseDataElement) -> float:
        return sample.pred_score[sample.gt_label].item()


def _most_likely(scores: torch.Tensor) -> list[int]:
    """The numbers of an image's most likely classes, the best first."""
    return scores.topk(min(_MOST_LIKELY, len(scores))).indices.tolist()


class _ClassFile:
    """For each image, the names and scores of the most likely classes, the best first."""

    def __init__(self, path: Path, dataset_meta: Mapping[str, Any]):
        self.path = path
        self._classes = dataset_meta['classes']

    def add(self, name: PurePath, sample: BaseDataElement) -> list[dict]:
        return [
            dict(name=self._classes[label], label=label, score=sample.pred_score[label].item())
            for label in _most_likely(sample.pred_score)
        ]

    def finish(
        self, records: Iterable[tuple[dict, list[dict]]], score_thr: float = SCORE_THRESHOLD
    ) -> str:
        best: Counter[str] = Counter()
        with replacing(self.path) as partial, partial.open('w') as file:
            file.write('{"images": [')
            for number, (image, classes) in enumerate(records):
                file.write(', ' if number else '')
                json.dump(dict(image, classes=classes), file)
                best[first_name(self._classes, classes[0]['label'])] += 1
            file.write(']}')
        common = best.most_common(_MOST_LIKELY)
        counts = [f'{count:,} {name}' for name, count in common]
        if others := best.total() - sum(count for _, count in common):
            counts.append(f'{others:,} others')
        return f'{count_of(best.total(), "image")}: {", ".join(counts)}'
