"""Writes predictions as pictures, a video, label PNGs, or a file in COCO's format."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from itertools import repeat
from pathlib import Path
from typing import Any, Protocol

import cv2
import mmcv
import numpy as np
import torch
from mmengine.structures import BaseDataElement
from pycocotools import mask as mask_utils

from ..atomic_write import replacing
from ..data.data_sets import list_coco_categories
from .frames import Frame

AddPicture = Callable[[np.ndarray], object]
_MOST_LIKELY = 5


class Output(Protocol):
    """Where the predictions of a task go; a row in `tasks.TASKS` names it.

    Args:
        path: The file or folder.
        dataset_meta: The model's: names of classes and more.
    """

    def __init__(self, path: Path, dataset_meta: Mapping[str, Any]): ...

    def add(self, frame: Frame, sample: BaseDataElement) -> list[dict]:
        """Writes a frame's file, if each has one; returns what a file of all needs."""

    def finish(self, records: Iterable[tuple[dict, list[dict]]]) -> None:
        """Writes a file of all frames, if there is one, of images and what `add` returned."""


def most_likely(scores: torch.Tensor) -> list[int]:
    """The numbers of an image's most likely classes, the best first."""
    return scores.topk(min(_MOST_LIKELY, len(scores))).indices.tolist()


class LabelFolder:
    """Label PNGs with the data set's numbers, like those of `tools/test.py --out`.

    Where 0 is not a class, as in ADE20K, the first class is 1.
    """

    def __init__(self, path: Path, dataset_meta: Mapping[str, Any]):
        self.path = path
        self._first = int(bool(dataset_meta.get('reduce_zero_label')))
        self._dtype = np.min_scalar_type(len(dataset_meta['classes']))

    def add(self, frame: Frame, sample: BaseDataElement) -> list[dict]:
        labels = sample.pred_sem_seg.data[0].cpu().numpy().astype(self._dtype)
        write_image(self.path / frame.named('.png'), labels + self._dtype.type(self._first))
        return []

    def finish(self, records: Iterable[tuple[dict, list[dict]]]) -> None:
        pass


class CocoFile:
    """A data set in COCO's format; annotations have scores, the best first in each image.

    COCO's classes have COCO's ids; others are numbered from 1, in the model's order. Boxes are x,
    y, width and height in pixels; masks, if the model predicts any, are run-length encoded.
    """

    def __init__(self, path: Path, dataset_meta: Mapping[str, Any]):
        self.path = path
        classes = dataset_meta['classes']
        self.categories = list_coco_categories()
        if [category['name'] for category in self.categories] != list(classes):
            self.categories = [dict(id=number, name=name) for number, name in enumerate(classes, 1)]

    def add(self, frame: Frame, sample: BaseDataElement) -> list[dict]:
        return to_coco_annotations(sample, self.categories)

    def finish(self, records: Iterable[tuple[dict, list[dict]]]) -> None:
        """Writes one image's annotations at a time: those of all may not fit into memory."""
        images = []
        number = 0
        with replacing(self.path) as partial, partial.open('w') as file:
            file.write('{"annotations": [')
            for image, annotations in records:
                images.append(dict(id=len(images) + 1, **image))
                for annotation in annotations:
                    file.write(', ' if number else '')
                    number += 1
                    json.dump(dict(id=number, image_id=len(images), **annotation), file)
            file.write(f'], "categories": {json.dumps(self.categories)}, "images": ')
            json.dump(images, file)
            file.write('}')


def to_coco_annotations(sample: BaseDataElement, categories: list[dict]) -> list[dict]:
    """A detector's prediction as COCO's annotations, without ids.

    Args:
        sample: The prediction.
        categories: COCO's entry for each of the model's classes, in their order.
    """
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


def write_image(path: Path, image: np.ndarray) -> None:
    """Writes an image, BGR or grey, in the format of the path's suffix."""
    with replacing(path) as partial:
        mmcv.imwrite(image, str(partial))


@contextmanager
def write_video(path: Path, fps: float) -> Iterator[AddPicture]:
    """Yields a function that adds a picture; the video appears, complete, after the last one.

    All pictures must have the same size. The video is H.264, which browsers play, if PyAV is
    installed, and MPEG-4 Part 2 otherwise. H.264 loses the last row or column of an odd size.
    """
    try:
        import av  # noqa: F401

        open_video = _open_h264
    except ImportError:
        open_video = _open_mpeg4
        print('For a video that browsers play: pip install av')
    with replacing(path) as partial, ExitStack() as stack:
        adders: list[AddPicture] = []

        def add(picture: np.ndarray) -> None:
            if not adders:
                height, width = picture.shape[:2]
                adders.append(stack.enter_context(open_video(partial, fps, width, height)))
            adders[0](picture)

        yield add
        stack.close()


@contextmanager
def _open_h264(path: Path, fps: float, width: int, height: int) -> Iterator[AddPicture]:
    import av

    width, height = width // 2 * 2, height // 2 * 2  # its colours have half the resolution
    with av.open(str(path), 'w', options=dict(movflags='faststart')) as container:
        stream = container.add_stream('libx264', rate=Fraction(fps).limit_denominator(1001))
        stream.width, stream.height, stream.pix_fmt = width, height, 'yuv420p'

        def add(picture: np.ndarray) -> None:
            frame = av.VideoFrame.from_ndarray(
                np.ascontiguousarray(picture[:height, :width]), format='bgr24'
            )
            container.mux(stream.encode(frame))

        yield add
        container.mux(stream.encode())  # what the encoder has kept back


@contextmanager
def _open_mpeg4(path: Path, fps: float, width: int, height: int) -> Iterator[AddPicture]:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), fps, (width, height))
    yield writer.write
    writer.release()


def _encode(mask: np.ndarray) -> dict:
    """Run-length encodes a mask `(H, W)`; transposed by OpenCV, in a half of numpy's time."""
    columns = cv2.transpose(mask.view(np.uint8))
    return mask_utils.encode(columns.T)
