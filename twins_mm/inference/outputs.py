"""Writes predictions as pictures, a video, label PNGs, or a file in COCO's format.

Each writer is a context manager that yields a function to call for each frame; a file with all
frames appears, complete, after the last one.
"""
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path, PurePath

import cv2
import mmcv
import numpy as np
from mmengine.infer import BaseInferencer
from mmengine.structures import BaseDataElement
from pycocotools import mask as mask_utils

from ..data.data_sets import list_coco_categories
from ..writing import replacing
from .frames import Frame

AddPicture = Callable[[Frame, np.ndarray], None]
AddPrediction = Callable[[Frame, BaseDataElement], None]


@contextmanager
def write_pictures(folder: Path) -> Iterator[AddPicture]:
    """Writes JPEG files, named like their frames."""
    write = _make_writer(folder, '.jpg')
    yield lambda frame, picture: write(frame.name, picture)


@contextmanager
def write_video(path: Path, fps: float) -> Iterator[AddPicture]:
    """Writes an MPEG-4 video; all pictures must have the same size."""
    writer = cv2.VideoWriter()
    with replacing(path) as partial:

        def add(_: Frame, picture: np.ndarray) -> None:
            if not writer.isOpened():
                code = cv2.VideoWriter_fourcc(*'mp4v')
                writer.open(str(partial), code, fps, picture.shape[1::-1])
            writer.write(picture)

        yield add
        writer.release()


@contextmanager
def write_labels(folder: Path, inferencer: BaseInferencer) -> Iterator[AddPrediction]:
    """Writes label PNGs with the data set's numbers, like `tools/test.py --out`.

    Where 0 is not a class, as in ADE20K, the first class is 1.
    """
    dataset_meta = inferencer.model.dataset_meta
    write = _make_writer(folder, '.png')
    first = int(bool(dataset_meta.get('reduce_zero_label')))
    dtype = np.min_scalar_type(len(dataset_meta['classes']))

    def add(frame: Frame, sample: BaseDataElement) -> None:
        labels = sample.pred_sem_seg.data[0].cpu().numpy() + first
        write(frame.name, labels.astype(dtype))

    yield add


@contextmanager
def write_coco(path: Path, inferencer: BaseInferencer) -> Iterator[AddPrediction]:
    """Writes a data set in COCO's format; annotations have scores, the best first in each image.

    COCO's classes have COCO's ids; others are numbered from 1, in the model's order. Boxes are x,
    y, width and height in pixels; masks, if the model predicts any, are run-length encoded.
    """
    images, annotations = [], []
    classes = inferencer.model.dataset_meta['classes']
    categories = list_coco_categories()
    if [category['name'] for category in categories] != list(classes):
        categories = [dict(id=number, name=name) for number, name in enumerate(classes, 1)]

    def add(frame: Frame, sample: BaseDataElement) -> None:
        assert frame.image is not None
        height, width = frame.image.shape[:2]
        images.append(dict(id=len(images) + 1, file_name=frame.name.as_posix(), height=height,
                           width=width))
        found = inferencer.pred2dict(sample)
        for label, score, (left, top, right, bottom), mask in zip(
                found['labels'], found['scores'], found['bboxes'],
                found.get('masks') or repeat(None)):
            box = [left, top, right - left, bottom - top]
            shape = (dict(area=box[2] * box[3]) if mask is None else
                     dict(area=float(mask_utils.area(mask)), segmentation=mask))
            annotations.append(dict(
                id=len(annotations) + 1, image_id=len(images), category_id=categories[label]['id'],
                bbox=box, score=score, iscrowd=0, **shape))

    yield add
    with replacing(path) as partial:
        partial.write_text(json.dumps(dict(
            images=images, categories=categories, annotations=annotations)))


def _make_writer(folder: Path, suffix: str) -> Callable[[PurePath, np.ndarray], None]:
    """Returns a function that writes images into a folder, replacing the suffixes of their names.

    If two names differ only in their suffix, the second keeps it: `a.png` and `a.jpg.png`.
    """
    taken = set()

    def write(name: PurePath, image: np.ndarray) -> None:
        target = name.with_suffix(suffix)
        if target in taken:
            target = name.with_name(name.name + suffix)
        taken.add(target)
        mmcv.imwrite(image, str(folder / target))

    return write
