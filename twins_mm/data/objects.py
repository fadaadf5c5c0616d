"""Finds faults of boxes and masks, including those that mmdet leaves out without a message."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from difflib import get_close_matches
from io import StringIO
from typing import TYPE_CHECKING

from mmengine.dataset import BaseDataset

from ..errors import UserError
from .findings import Fault, ImageContents

if TYPE_CHECKING:
    from .survey import Survey

# By how many pixels a box may reach beyond the image: annotations are rounded.
_TOLERANCE = 1


@contextmanager
def watch_objects(survey: 'Survey') -> Iterator[None]:
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


def check_boxes(info: dict, _: Callable, classes: int) -> ImageContents:
    """Looks at the boxes of an image."""
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
                    f'from {left:g}, {top:g} to {right:g}, {bottom:g}; the image is {stated[0]} x '
                    f'{stated[1]}',
                    box,
                )
            )
        if not instance['ignore_flag']:
            sizes.append(((right - left) * (bottom - top)) ** 0.5)
            amounts[instance['bbox_label']] += 1
    return ImageContents(amounts, tuple(sizes), tuple(findings))


def check_masks(info: dict, load: Callable, classes: int) -> ImageContents:
    """Looks at the boxes and masks of an image."""
    contents = check_boxes(info, load, classes)
    faults = (
        (_find_mask_fault(instance.get('mask'), info), instance['bbox'])
        for instance in info.get('instances', ())
    )
    return contents._replace(
        findings=(
            *contents.findings,
            *(
                Fault(
                    kind, info['img_path'], f'the box starts at {box[0]:g}, {box[1]:g}', tuple(box)
                )
                for kind, box in faults
                if kind
            ),
        )
    )


def _find_mask_fault(mask: list | dict | None, info: dict) -> str:
    """The kind of a mask's fault, '' without one."""
    from pycocotools import mask as coco_masks

    size = info['height'], info['width']
    if not mask:
        return 'no_mask'
    if isinstance(mask, list):
        polygons = [polygon for polygon in mask if len(polygon) % 2 == 0 and len(polygon) >= 6]
        if not polygons:
            return 'broken_polygon'
        mask = coco_masks.merge(coco_masks.frPyObjects(polygons, *size))
    elif tuple(mask['size']) != size:
        return 'mask_size'
    elif isinstance(mask['counts'], list):
        mask = coco_masks.frPyObjects(mask, *size)
    return '' if coco_masks.area(mask) else 'empty_mask'


def judge_objects(survey: 'Survey') -> Iterator[Fault]:
    """Looks at all objects of a data set together."""
    if not survey.amounts:
        if survey.name != 'test':  # whose ground truth may be secret
            yield Fault('no_objects', survey.dataset.ann_file)
        return
    for label, name in enumerate(survey.classes):
        if not survey.amounts[label]:
            yield Fault('never_seen', survey.dataset.ann_file, name)
