"""Small data sets of a user's own: two classes, in COCO's format and as label maps."""

import json

import cv2
import numpy as np

CLASSES = ['apple', 'pear']
WIDTH, HEIGHT = 96, 64
SPLITS = dict(train=6, val=3)


def make_own_sets(root):
    """Makes `root`/{train,val}.json with photos/, and images/ and labels/ with a folder a split."""
    rng = np.random.default_rng(0)
    for split, count in SPLITS.items():
        images, annotations = [], []
        for number in range(count):
            name = f'{split}_{number}'
            image = rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
            labels = np.zeros((HEIGHT, WIDTH), np.uint8)
            images.append(dict(id=number, file_name=f'{name}.jpg', width=WIDTH, height=HEIGHT))
            for label in range(len(CLASSES)):
                left, top, width, height = 8 + 40 * label, 10 + number, 32, 36
                labels[top : top + height, left : left + width] = label + 1
                annotations.append(
                    dict(
                        id=len(annotations) + 1,
                        image_id=number,
                        category_id=(7, 12)[label],
                        iscrowd=0,
                        bbox=[left, top, width, height],
                        area=width * height,
                        segmentation=[
                            [
                                left,
                                top,
                                left + width,
                                top,
                                left + width,
                                top + height,
                                left,
                                top + height,
                            ]
                        ],
                    )
                )
            write(root / 'photos' / f'{name}.jpg', image)
            write(root / 'images' / split / f'{name}.jpg', image)
            write(root / 'labels' / split / f'{name}.png', labels)
        (root / f'{split}.json').write_text(
            json.dumps(
                dict(
                    images=images,
                    annotations=annotations,
                    categories=[dict(id=7, name='apple'), dict(id=12, name='pear')],
                )
            )
        )
    return root


def write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)
