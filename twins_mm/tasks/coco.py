"""COCO's annotation files: what mmdet leaves out of them, and predictions in their format."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from difflib import get_close_matches
from io import StringIO
from itertools import repeat
from pathlib import Path, PurePath
from typing import Any

import cv2
import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.structures import BaseDataElement

from ..errors import UserError
from ..files.atomic_write import replacing
from .base import SCORE_THRESHOLD, SurveyedData, count_of, is_confident
from .findings import Fault

RESULTS = 'results.json'
_UNUSED_IDS = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}


@contextmanager
def watch_annotations(survey: SurveyedData) -> Iterator[None]:
    """Adds what a CocoDataset leaves out while it reads annotations, and why.

    Other data sets are read without a look at what they leave out.
    """
    dataset, parse = survey.dataset, survey.dataset.parse_data_info
    kept_files: list = []  # the opened annotation file, which the data set deletes

    def parse_and_look(raw: dict) -> dict | list[dict]:
        if 'raw_ann_info' not in raw:
            return parse(raw)
        if not kept_files:
            kept_files.append(dataset.coco)
            survey.add(*_check_categories(dataset, survey.classes))
            survey.add(*_find_orphans(dataset))
        image, annotations = raw['raw_img_info'], raw['raw_ann_info']
        try:
            parsed = parse(raw)
        except KeyError as error:
            raise UserError(
                f'{dataset.ann_file}: {image.get("file_name")} or one of its '
                f'annotations has no field {error}'
            ) from error
        if len(parsed['instances']) < len(annotations):
            for annotation in annotations:
                survey.add(*_find_dropped(annotation, image, dataset, parsed['img_path']))
        return parsed

    dataset.parse_data_info = parse_and_look
    with redirect_stdout(StringIO()):  # pycocotools prints
        yield
    del dataset.parse_data_info


def _check_categories(dataset: BaseDataset, classes: Sequence[str]) -> Iterator[Fault]:
    """Compares the names in the annotation file with the config's."""
    names = [category['name'] for category in dataset.coco.cats.values()]
    read = [dataset.coco.cats[number]['name'] for number in dataset.cat_ids]
    absent = [name for name in classes if name not in names]
    for name in absent:
        near = get_close_matches(name, names, n=1, cutoff=0) or ['no category']
        yield Fault(
            'class_not_in_file',
            dataset.ann_file,
            f'{name!r} is not there; the nearest is {near[0]!r}',
        )
    repeated = [name for name, count in Counter(read).items() if count > 1]
    for name in repeated:
        yield Fault('repeated_category', dataset.ann_file, repr(name))
    if not absent and not repeated and read != list(classes):
        yield Fault('class_order', dataset.ann_file, f'{", ".join(read)} in the file')


def _find_orphans(dataset: BaseDataset) -> Iterator[Fault]:
    for annotation in dataset.coco.anns.values():
        if annotation['image_id'] not in dataset.coco.imgs:
            yield Fault('orphans', dataset.ann_file, f'image_id {annotation["image_id"]!r}')


def _find_dropped(
    annotation: dict, image: dict, dataset: BaseDataset, path: str
) -> Iterator[Fault]:
    """Why mmdet's `CocoDataset.parse_data_info` drops an annotation, if it does."""
    left, top, width, height = annotation['bbox']
    box = left, top, left + width, top + height
    text = f'x {left:g}, y {top:g}, width {width:g}, height {height:g}'
    category = annotation['category_id']
    if annotation.get('ignore'):
        return
    if category not in dataset.coco.cats:
        yield Fault('unknown_category', path, f'category_id {category!r}', box)
    elif category not in dataset.cat_ids:
        yield Fault('other_class', path, dataset.coco.cats[category]['name'], box)
    elif width < 1 or height < 1:
        yield Fault('no_area', path, text, box)
    elif left >= image['width'] or top >= image['height'] or box[2] <= 0 or box[3] <= 0:
        yield Fault(
            'outside', path, f'{text}; the image is {image["width"]} x {image["height"]}', box
        )
    elif annotation['area'] <= 0:
        yield Fault('no_area_field', path, text, box)


def list_coco_categories() -> list[dict]:
    """COCO's 80 categories, `id` and `name`, in mmdet's order; the ids have gaps."""
    from mmdet.datasets import CocoDataset

    ids = sorted(set(range(1, 91)) - _UNUSED_IDS)
    names = CocoDataset.METAINFO['classes']
    return [dict(id=i, name=name) for i, name in zip(ids, names, strict=True)]


class CocoFile:
    """A data set in COCO's format; annotations have scores, the best first in each image.

    COCO's classes have COCO's ids; others are numbered from 1, in the model's order. Boxes are x,
    y, width and height in pixels; masks, if the model predicts any, are run-length encoded.

    Next to it, `results.json` has the same as the list that `COCO.loadRes` reads. Each result also
    has its image's `file_name`, by which it is found in ground truth whose image ids differ.
    """

    def __init__(self, path: Path, dataset_meta: Mapping[str, Any]):
        self.path = path
        classes = dataset_meta['classes']
        self.categories = list_coco_categories()
        if [category['name'] for category in self.categories] != list(classes):
            self.categories = [dict(id=number, name=name) for number, name in enumerate(classes, 1)]

    def add(self, name: PurePath, sample: BaseDataElement) -> list[dict]:
        return to_coco_annotations(sample, self.categories)

    def finish(
        self, records: Iterable[tuple[dict, list[dict]]], score_thr: float = SCORE_THRESHOLD
    ) -> str:
        """Writes one image's annotations at a time: those of all may not fit into memory."""
        images: list[dict] = []
        number = confident = empty = 0
        with (
            replacing(self.path) as whole,
            whole.open('w') as file,
            replacing(self.path.with_name(RESULTS)) as listed,
            listed.open('w') as results,
        ):
            file.write('{"annotations": [')
            results.write('[')
            for image, annotations in records:
                images.append(dict(id=len(images) + 1, **image))
                for annotation in annotations:
                    separator = ', ' if number else ''
                    number += 1
                    entry = dict(id=number, image_id=len(images), **annotation)
                    file.write(separator + json.dumps(entry))
                    result = dict(entry, file_name=image['file_name'])
                    for key in ('id', 'area', 'iscrowd'):
                        del result[key]
                    results.write(separator + json.dumps(result))
                found = sum(is_confident(one['score'], score_thr) for one in annotations)
                confident += found
                empty += not found
            results.write(']')
            file.write(f'], "categories": {json.dumps(self.categories)}, "images": ')
            json.dump(images, file)
            file.write('}')
        return (
            f'{count_of(confident, "object")} in {count_of(len(images), "image")}, {empty} of them '
            f'empty (scores above {score_thr:g})'
        )


def to_coco_annotations(sample: BaseDataElement, categories: list[dict]) -> list[dict]:
    """A detector's prediction as COCO's annotations, without ids.

    Args:
        sample: The prediction.
        categories: COCO's entry for each of the model's classes, in their order.
    """
    from pycocotools import mask as mask_utils

    found = sample.pred_instances.numpy()
    masks = [_encode(mask) for mask in found.masks] if 'masks' in found else None
    boxes = found.get('bboxes')
    if masks and (boxes is None or not boxes.any()):  # SOLO and others predict masks alone
        boxes = mask_utils.toBbox(masks)
        boxes[:, 2:] += boxes[:, :2]
    annotations = []
    for label, score, (left, top, right, bottom), mask in zip(
        found.labels.tolist(),
        found.scores.tolist(),
        [] if boxes is None else boxes.tolist(),
        masks or repeat(None),
    ):
        box = [left, top, right - left, bottom - top]
        shape = (
            dict(area=box[2] * box[3])
            if mask is None
            else dict(
                area=float(mask_utils.area(mask)),
                segmentation=dict(mask, counts=mask['counts'].decode()),
            )
        )
        annotations.append(
            dict(category_id=categories[label]['id'], bbox=box, score=score, iscrowd=0, **shape)
        )
    return annotations


def _encode(mask: np.ndarray) -> dict:
    """Run-length encodes a mask `(H, W)`; transposed by OpenCV, in a half of numpy's time."""
    from pycocotools import mask as mask_utils

    columns = cv2.transpose(mask.view(np.uint8))
    return mask_utils.encode(columns.T)
