"""Finds faults of label maps."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import mmcv
import numpy as np
from mmengine.dataset import Compose
from mmengine.fileio import get

from .findings import Fault, ImageContents

if TYPE_CHECKING:
    from .survey import Survey

IGNORED = 255
_IMAGES = {'.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp'}


@contextmanager
def watch_labels(survey: 'Survey') -> Iterator[None]:
    """Adds the images of a folder that the data set doesn't read because of their suffix."""
    dataset = survey.dataset
    folder, suffix = Path(dataset.data_prefix.get('img_path') or ''), dataset.img_suffix
    if not dataset.ann_file and folder.is_dir():
        others = Counter(
            path.suffix
            for path in folder.rglob('*')
            if path.suffix.lower() in _IMAGES and not path.name.endswith(suffix)
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


def check_labels(info: dict, load: Compose, classes: int) -> ImageContents:
    """Looks at the label map of an image."""
    image, labels_path = info['img_path'], info.get('seg_map_path')
    if not labels_path or not load.transforms:
        return ImageContents()  # a test set without labels

    def fault(kind: str, detail: str) -> ImageContents:
        return ImageContents(findings=(Fault(kind, image, detail, labels=labels_path),))

    try:
        stored = mmcv.imfrombytes(get(labels_path), flag='unchanged', backend='pillow').squeeze()
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


def judge_labels(survey: 'Survey') -> Iterator[Fault]:
    """Looks at all label maps of a data set together."""
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
