"""Finds faults of labels of whole images."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mmengine.dataset import Compose

from .findings import Fault, ImageContents

if TYPE_CHECKING:
    from .survey import Survey


def check_class(info: dict, _: Compose, classes: int) -> ImageContents:
    """Looks at the label of an image; a test set may have none."""
    if 'gt_label' not in info:
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


def judge_classes(survey: 'Survey') -> Iterator[Fault]:
    """Looks at all labels of a data set together."""
    for label, name in enumerate(survey.classes):
        if survey.amounts and not survey.amounts[label]:
            yield Fault('never_seen', str(survey.dataset.img_prefix), name)
