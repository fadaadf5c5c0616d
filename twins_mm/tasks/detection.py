"""Detection: boxes with classes and scores, by mmdet."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dataset import Compose
from mmengine.evaluator import BaseMetric
from mmengine.structures import BaseDataElement, InstanceData

from .base import SCORE_THRESHOLD, Output, Region, SurveyedData, Task, is_confident
from .coco import CocoFile, watch_annotations
from .findings import Fault, ImageContents

# By how many pixels a box may reach beyond the image: annotations are rounded.
_TOLERANCE = 1


class Detection(Task):
    """Boxes of objects."""

    name = 'detection'
    scope = 'mmdet'
    models = 'detectors'

    own_data = dict(type='CocoDataset', data_prefix=dict(img=''))
    load = [dict(type='LoadAnnotations', with_bbox=True)]
    pack = 'PackDetInputs'
    counted = 'objects'

    toy_data = 'coco'
    toy_batch, toy_iterations = 8, 250
    toy_evaluator = dict(type='CocoMetric', metric=['bbox'])

    metrics = {'coco/bbox_mAP': ('box AP', 'Object Detection')}
    fractions = ('coco/',)
    # mmdet's maintainers see up to 0.3 (open-mmlab/mmdetection issues 3496 and 3624), detectron2's
    # users up to 0.5 with RetinaNet (facebookresearch/detectron2 issue 457).
    chance = 0.5
    visualization = dict(type='DetVisualizationHook', draw=True)
    pictures_option = 'default_hooks.visualization.test_out_dir'

    output = 'predictions.json'
    ground_truth, prediction = 'gt_instances', 'pred_instances'
    has_scores = True
    how_rated = (
        f'Boxes with a score above {SCORE_THRESHOLD} count. The score of an image is F1: twice the '
        'correct boxes (right class, IoU of at least 0.5) over the sum of predicted and '
        'ground-truth boxes. Images without objects are left out.'
    )

    def watch(self, survey: SurveyedData) -> AbstractContextManager:
        return watch_annotations(survey)

    def check(self, info: dict, load: Compose, classes: int) -> ImageContents:
        path, (height, width) = info['img_path'], info['img_shape'][:2]
        findings, sizes, amounts = [], [], Counter()
        stated = info.get('width', width), info.get('height', height)
        if stated != (width, height):
            findings.append(
                Fault(
                    'wrong_size',
                    path,
                    f'{width} x {height}; the annotation says {stated[0]} x {stated[1]}',
                )
            )
        for instance in info.get('instances', ()):
            box = left, top, right, bottom = instance['bbox']
            if right <= left or bottom <= top:
                findings.append(Fault('no_area', path, str(list(box)), box))
                continue
            if max(-left, -top, right - stated[0], bottom - stated[1]) > _TOLERANCE:
                findings.append(
                    Fault(
                        'beyond_edge',
                        path,
                        f'from {left:g}, {top:g} to {right:g}, {bottom:g}; the image is '
                        f'{stated[0]} x {stated[1]}',
                        box,
                    )
                )
            if not instance['ignore_flag']:
                sizes.append(((right - left) * (bottom - top)) ** 0.5)
                amounts[instance['bbox_label']] += 1
        return ImageContents(amounts, tuple(sizes), tuple(findings))

    def judge(self, survey: SurveyedData) -> Iterator[Fault]:
        if not survey.amounts:
            if survey.name != 'test':  # whose ground truth may be secret
                yield Fault('no_objects', survey.dataset.ann_file)
            return
        for label, name in enumerate(survey.classes):
            if not survey.amounts[label]:
                yield Fault('never_seen', survey.dataset.ann_file, name)

    @property
    def dump_metric(self) -> type[BaseMetric]:
        from mmdet.evaluation import DumpDetResults

        return DumpDetResults

    def open_output(self, path: Path, dataset_meta: Mapping[str, Any]) -> Output:
        return CocoFile(path, dataset_meta)

    def list_regions(self, annotation: InstanceData) -> list[Region]:
        masks = annotation.get('masks', repeat(None))
        if hasattr(masks, 'to_ndarray'):
            masks = masks.to_ndarray()
        boxes = getattr(annotation.bboxes, 'tensor', annotation.bboxes)
        scores = annotation.get('scores', repeat(None))
        return [
            Region(
                int(label),
                None if mask is None else np.asarray(mask, bool),
                np.asarray(box),
                None if score is None else float(score),
            )
            for label, mask, box, score in zip(annotation.labels, masks, boxes, scores)
        ]

    def rate(self, sample: BaseDataElement) -> float | None:
        """F1 at IoU 0.5; None if there are no objects. Boxes that match a crowd are ignored."""
        from mmdet.evaluation.functional.mean_ap import tpfp_default

        sample = sample.cpu().numpy()
        labelled = sample.gt_instances
        ignored = sample.get('ignored_instances', sample.gt_instances[:0])
        found = sample.pred_instances[is_confident(sample.pred_instances.scores)]
        hits = misses = 0
        for label in np.unique(found.labels):
            boxes = found[found.labels == label]
            hit, miss = tpfp_default(
                np.column_stack([boxes.bboxes, boxes.scores]),
                _boxes_of(labelled, label),
                _boxes_of(ignored, label),
            )
            hits, misses = hits + hit.sum(), misses + miss.sum()
        return float(2 * hits / (hits + misses + len(labelled))) if len(labelled) else None


def _boxes_of(instances: InstanceData, label: int) -> np.ndarray:
    boxes = instances[instances.labels == label].bboxes
    return np.asarray(getattr(boxes, 'tensor', boxes)).reshape(-1, 4)
