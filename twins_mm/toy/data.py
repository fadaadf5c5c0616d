"""Makes small data sets of drawn shapes, in the layouts of the real ones."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import cv2
import numpy as np

from ..data.data_sets import DATA_SETS, TOY_ROOT
from ..tasks.coco import list_coco_categories
from ..tasks.semantic_segmentation import IGNORED
from .scenes import Instance, cover, draw_road, draw_scene

_IMAGES = dict(train=200, val=50)
# A label says less than boxes or pixels do, so there are more images of it.
_CLASSIFIED = 3
# How much wider an image is than what is to be classified, in pixels.
_MARGIN = 8, 64
# Increase this with every change to images or files, so that old data is replaced.
_VERSION = 2
_STAMP_NAME = 'stamp.json'

_MOST_SHAPES = 4
# One in this many images is empty, and one has a crowd.
_RARITY = 10
# The width of the unlabelled border, in pixels; shapes are farther from the edge.
_BORDER = 4
_INSIDE = (slice(_BORDER, -_BORDER),) * 2


def make_toy_data(root: str | Path = TOY_ROOT) -> Path:
    """Makes a toy version of each data set in `root`, unless they are complete.

    Raises:
        OSError: `root` contains something else, or cannot be written.
    """
    root = Path(root)
    stamp = json.dumps(dict(version=_VERSION, images=_IMAGES, data_sets=list(TOY_VERSIONS)))
    if _read_stamp(root) == stamp:
        return root
    root.parent.mkdir(parents=True, exist_ok=True)
    # Made in a temporary folder next to `root` and then renamed, so that `root` is never partial.
    with TemporaryDirectory(prefix=f'{root.name}-', dir=root.parent) as temporary:
        made = Path(temporary, 'made')
        for name, toy in TOY_VERSIONS.items():
            toy.make(made / DATA_SETS[name].toy_folder.name)
        (made / _STAMP_NAME).write_text(stamp)
        if _read_stamp(root) not in ('', stamp):
            root.rename(Path(temporary, 'outdated'))
        try:
            made.rename(root)
        except OSError:
            # Another process may have been faster, for example with one process per GPU.
            if _read_stamp(root) != stamp:
                raise
    return root


def _read_stamp(root: Path) -> str:
    """The version of the data in a folder, from the file that is written last; '' without one."""
    path = root / _STAMP_NAME
    return path.read_text() if path.exists() else ''


def make_coco(root: Path) -> None:
    """Makes the toy version of COCO."""
    categories = list_coco_categories()
    ids = {category['name']: category['id'] for category in categories}
    for split in _IMAGES:
        images, annotations = [], []
        for number, image, instances in _draw_scenes('coco', split):
            name = f'{number:012d}.jpg'
            _save(root / f'{split}2017' / name, image)
            height, width, _ = image.shape
            images.append(dict(id=number, file_name=name, height=height, width=width))
            for instance in instances:
                annotations.append(
                    dict(
                        id=len(annotations) + 1,
                        image_id=number,
                        category_id=ids[TOY_VERSIONS['coco'].classes[instance.label]],
                        **_describe(instance, height, width),
                    )
                )
        path = root / f'annotations/instances_{split}2017.json'
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            json.dumps(
                dict(
                    info=dict(description='Toy data'),
                    images=images,
                    annotations=annotations,
                    categories=categories,
                )
            )
        )


def make_ade20k(root: Path) -> None:
    """Makes the toy version of ADE20K."""
    classes = DATA_SETS['ade20k'].classes
    # One more than the index, because 0 means unlabelled.
    background, *shapes = (classes.index(name) + 1 for name in TOY_VERSIONS['ade20k'].classes)
    for split, folder in zip(_IMAGES, ('training', 'validation'), strict=True):
        for number, image, instances in _draw_scenes('ade', split):
            name = f'ADE_{split}_{number:08d}'
            labels = np.zeros(image.shape[:2], np.uint8)
            labels[_INSIDE] = background
            for instance in instances:
                labels[cover(instance, *labels.shape) > 0.5] = shapes[instance.label]
            _save(root / 'images' / folder / f'{name}.jpg', image)
            _save(root / 'annotations' / folder / f'{name}.png', labels)


def make_cityscapes(root: Path) -> None:
    """Makes the toy version of Cityscapes."""
    classes = DATA_SETS['cityscapes'].classes
    values = np.uint8([classes.index(name) for name in TOY_VERSIONS['cityscapes'].classes])
    for split, count in _IMAGES.items():
        city = f'{split}ville'
        for number in range(1, count + 1):
            image, drawn = draw_road(_seeded('cityscapes', split, number))
            labels = np.full_like(drawn, IGNORED)
            labels[_INSIDE] = values[drawn[_INSIDE]]
            name = f'{city}_{number:06d}_000019'
            _save(root / 'leftImg8bit' / split / city / f'{name}_leftImg8bit.png', image)
            _save(root / 'gtFine' / split / city / f'{name}_gtFine_labelTrainIds.png', labels)


def make_imagenet(root: Path) -> None:
    """Makes the toy version of ImageNet: an image's class is its only shape."""
    for split, count in _IMAGES.items():
        lines = []
        for number in range(1, _CLASSIFIED * count + 1):
            rng = _seeded('imagenet', split, number)
            image, (instance,) = draw_scene(rng, shapes=1)
            name = f'{split}_{number:08d}.jpg'
            _save(root / split / name, _cut_out(image, instance, rng))
            lines.append(f'{name} {instance.label}\n')
        path = root / f'meta/{split}.txt'
        path.parent.mkdir(exist_ok=True)
        path.write_text(''.join(lines))


def _draw_scenes(layout: str, split: str) -> Iterator[tuple[int, np.ndarray, list[Instance]]]:
    """Yields the number, from 1, the image and the instances of each scene, reproducibly."""
    for number in range(1, _IMAGES[split] + 1):
        rng = _seeded(layout, split, number)
        shapes = 0 if number % _RARITY == 0 else int(rng.integers(1, _MOST_SHAPES + 1))
        crowds = int(number % _RARITY == _RARITY // 2)
        yield number, *draw_scene(rng, shapes, crowds)


def _cut_out(image: np.ndarray, instance: Instance, rng: np.random.Generator) -> np.ndarray:
    """A square with an instance anywhere in it."""
    left, top, right, bottom = _bounds(instance)
    side = int(max(right - left, bottom - top) + rng.uniform(*_MARGIN))
    x, y = (
        int(np.clip(rng.uniform(high - side, low), 0, length - side))
        for low, high, length in ((left, right, image.shape[1]), (top, bottom, image.shape[0]))
    )
    return image[y : y + side, x : x + side]


def _bounds(instance: Instance) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of an instance, in pixels."""
    corners = np.concatenate(instance.outlines)
    return *corners.min(axis=0).tolist(), *corners.max(axis=0).tolist()


def _seeded(layout: str, split: str, number: int) -> np.random.Generator:
    return np.random.default_rng(list(f'{layout} {split} {number}'.encode()))


def _describe(instance: Instance, height: int, width: int) -> dict:
    """The fields of a COCO annotation that locate an instance: a polygon, or RLE for a crowd."""
    left, top, right, bottom = _bounds(instance)
    if instance.is_crowd:
        mask = cover(instance, height, width) > 0.5
        # The lengths of runs of equal pixels, column by column, starting outside the mask.
        changes = np.flatnonzero(np.diff(mask.ravel(order='F'), prepend=False))
        runs = np.diff([0, *changes, mask.size]).tolist()
        segmentation: dict | list = dict(counts=runs, size=[height, width])
    else:
        segmentation = [outline.ravel().tolist() for outline in instance.outlines]
    return dict(
        bbox=[left, top, right - left, bottom - top],
        area=sum(cv2.contourArea(outline) for outline in instance.outlines),
        iscrowd=int(instance.is_crowd),
        segmentation=segmentation,
    )


def _save(path: Path, image: np.ndarray) -> None:
    """Writes a JPEG or PNG, depending on its suffix, and creates its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not with `cv2.imwrite`, which raises nothing when the disk is full.
    path.write_bytes(cv2.imencode(path.suffix, image)[1])


class ToyVersion(NamedTuple):
    """The toy version of a data set, in the same folders: its classes, and what makes it."""

    classes: tuple[str, ...]
    make: Callable[[Path], None]


TOY_VERSIONS = dict(
    coco=ToyVersion(('sports ball', 'book', 'kite'), make_coco),
    ade20k=ToyVersion(('sky', 'ball', 'flag', 'tent'), make_ade20k),  # the first: the background
    # Lines of lanes have no class of their own; here they are sidewalks.
    cityscapes=ToyVersion(('road', 'sky', 'sidewalk', 'pole', 'traffic sign'), make_cityscapes),
    # The first ones, whose numbers are the same for a model with fewer classes.
    imagenet=ToyVersion(
        (
            'tench, Tinca tinca',
            'goldfish, Carassius auratus',
            'great white shark, white shark, man-eater, man-eating shark, Carcharodon carcharias',
        ),
        make_imagenet,
    ),
)
