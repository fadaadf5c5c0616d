"""Semantic segmentation: a class for each pixel, by mmseg."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from mmengine.dataset import Compose
from mmengine.fileio import get
from mmengine.structures import BaseDataElement, PixelData
from torch import nn

from ..files.atomic_write import replacing
from ..files.images import IMAGE_SUFFIXES
from .base import SCORE_THRESHOLD, Output, Region, SurveyedData, Task, count_of
from .find_labels import find_labels
from .findings import Fault, ImageContents

IGNORED = 255


class SemanticSegmentation(Task):
    """Label maps."""

    name = 'semantic_segmentation'
    scope = 'mmseg'
    models = 'segmentors'

    own_data = dict(type='BaseSegDataset', reduce_zero_label=False)
    load = [dict(type='LoadAnnotations')]
    pack = 'PackSegInputs'
    counted = 'pixels'

    toy_data = 'ade20k'
    toy_batch, toy_iterations = 4, 300
    toy_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
    tta_ratios = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)

    metrics = {'mIoU': ('mIoU', 'Semantic Segmentation')}
    # More in 1 of 20 cases: from how validations in the authors' logs vary around the mean of
    # their neighbours. Lasting effects of a seed are not in it.
    chance = 1.3
    visualization = dict(type='SegVisualizationHook', draw=True)
    pictures_option = 'visualizer.save_dir'

    output = 'labels'
    ground_truth, prediction = 'gt_sem_seg', 'pred_sem_seg'
    how_rated = (
        "An image's score is its own mIoU, over the classes in its ground truth. Images "
        'of one class are left out: any model gets those right.'
    )

    def watch(self, survey: SurveyedData) -> AbstractContextManager:
        return _watch(survey)

    def check(self, info: dict, load: Compose, classes: int) -> ImageContents:
        from mmcv import imfrombytes

        image, labels_path = info['img_path'], info.get('seg_map_path')
        if not labels_path or not load.transforms:
            return ImageContents()  # a test set without labels

        def fault(kind: str, detail: str) -> ImageContents:
            return ImageContents(findings=(Fault(kind, image, detail, labels=labels_path),))

        try:
            stored = imfrombytes(get(labels_path), flag='unchanged', backend='pillow').squeeze()
        except Exception as error:  # files and decoders may raise anything
            return fault('unreadable_labels', str(error).replace(image, 'the file'))
        if stored.ndim != 2:
            return fault('colours', f'{stored.shape[-1]} channels in {Path(labels_path).name}')
        (height, width), shape = stored.shape, info['img_shape'][:2]
        if stored.shape != shape:
            return fault('labels_size', f'{width} x {height}; the image is {shape[1]} x {shape[0]}')
        if stored.max() > IGNORED:
            return fault('large_values', f'up to {stored.max()}')
        try:
            counts = np.bincount(load(info)['gt_seg_map'].ravel(), minlength=IGNORED + 1)
        except AssertionError as error:  # data set and pipeline disagree on reduce_zero_label
            return fault('unreadable_labels', str(error))
        values = np.flatnonzero(counts[:IGNORED]).tolist()
        unknown = [value for value in values if value >= classes]
        if unknown:
            reduced = ' after reduce_zero_label' if info.get('reduce_zero_label') else ''
            return fault(
                'value_without_class',
                f'{", ".join(map(str, unknown))}{reduced}; the '
                f'{classes} classes are 0 to {classes - 1}',
            )
        if not values:
            return fault('unlabelled', f'the only value is {stored.flat[0]}')
        return ImageContents(
            {label: int(counts[label]) for label in (*values, IGNORED) if counts[label]}
        )

    def judge(self, survey: SurveyedData) -> Iterator[Fault]:
        place = str(survey.dataset.data_prefix.get('seg_map_path'))
        seen = survey.amounts.keys() - {IGNORED}
        if seen == {0} and survey.amounts[IGNORED]:
            yield Fault('only_background', place)
        for label, name in enumerate(survey.classes):
            if label not in seen:
                yield Fault('never_seen', place, name)
        last = len(survey.classes) - 1
        if survey.dataset.reduce_zero_label and seen and last not in seen and last:
            yield Fault('shifted_labels', place, survey.classes[last])

    def prepare(self, model: nn.Module) -> None:
        model.postprocess_result = partial(find_labels, model, model.postprocess_result)

    def open_output(self, path: Path, dataset_meta: Mapping[str, Any]) -> Output:
        return _LabelFolder(path, dataset_meta)

    def list_regions(self, annotation: PixelData) -> list[Region]:
        labels = annotation.data.squeeze(0).cpu().numpy()
        return [
            Region(int(label), labels == label) for label in np.unique(labels[labels != IGNORED])
        ]

    def rate(self, sample: BaseDataElement) -> float | None:
        """mIoU over the classes in the ground truth; None for fewer than two."""
        from mmseg.evaluation import IoUMetric

        labelled, prediction = (
            data.data.squeeze().cpu() for data in (sample.gt_sem_seg, sample.pred_sem_seg)
        )
        # Labels are 0 to 254; 255 means unlabelled.
        intersect, union, _, area = IoUMetric.intersect_and_union(
            prediction, labelled, IGNORED, IGNORED
        )
        present = area > 0
        return (intersect[present] / union[present]).mean().item() if present.sum() > 1 else None


@contextmanager
def _watch(survey: SurveyedData) -> Iterator[None]:
    """Adds the images of a folder that the data set doesn't read because of their suffix."""
    dataset = survey.dataset
    folder, suffix = Path(dataset.data_prefix.get('img_path') or ''), dataset.img_suffix
    if not dataset.ann_file and folder.is_dir():
        others = Counter(
            path.suffix
            for path in folder.rglob('*')
            if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.endswith(suffix)
        )
        for other, count in others.items():
            survey.add(
                Fault(
                    'unused_files',
                    str(folder),
                    f'{count:,} end in {other}; img_suffix is {suffix!r}',
                )
            )
    yield


class _LabelFolder:
    """Label PNGs with the data set's numbers, like those of `tools/test.py --out`.

    Where 0 is not a class, as in ADE20K, the first class is 1.
    """

    def __init__(self, path: Path, dataset_meta: Mapping[str, Any]):
        self.path = path
        self._first = int(bool(dataset_meta.get('reduce_zero_label')))
        self._dtype = np.min_scalar_type(len(dataset_meta['classes']))

    def add(self, name: PurePath, sample: BaseDataElement) -> list[dict]:
        from mmcv import imwrite

        labels = sample.pred_sem_seg.data[0].cpu().numpy().astype(self._dtype)
        path = self.path / name.with_name(f'{name.name}.png')
        with replacing(path) as partial:
            imwrite(labels + self._dtype.type(self._first), str(partial))
        return []

    def finish(
        self, records: Iterable[tuple[dict, list[dict]]], score_thr: float = SCORE_THRESHOLD
    ) -> str:
        return count_of(sum(1 for _ in records), 'label map')
