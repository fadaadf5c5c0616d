"""Damaged images end in pixels or in one sentence."""

import cv2
import numpy as np
import pytest
from mutants import mutate_bytes
from PIL import Image

from twins_mm.errors import UserError
from twins_mm.files.images import IMAGE_SUFFIXES, read_image

COUNT = 40


def write(path, kind):
    rng = np.random.default_rng(0)
    smooth = cv2.resize(rng.integers(0, 256, (6, 8, 3), np.uint8), (80, 60))
    if kind == '16 bits':
        cv2.imwrite(str(path), smooth.astype(np.uint16) * 16)
    elif kind == 'palette':
        Image.fromarray(smooth).quantize(16).save(path)
    elif kind == 'CMYK':
        Image.fromarray(smooth).convert('CMYK').save(path)
    else:
        cv2.imwrite(str(path), smooth[..., 0] if path.suffix == '.pgm' else smooth)


@pytest.mark.parametrize(
    ('suffix', 'kind'),
    [
        *((suffix, '') for suffix in sorted(IMAGE_SUFFIXES)),
        ('.png', '16 bits'),
        ('.png', 'palette'),
        ('.tif', '16 bits'),
        ('.jpg', 'CMYK'),
    ],
)
def test_mutated_images_are_read_or_explained(suffix, kind, tmp_path):
    path = tmp_path / f'image{suffix}'
    write(path, kind)
    content, known = path.read_bytes(), 0
    for mutant in mutate_bytes(content, COUNT):
        path.write_bytes(mutant)
        known += mutant[:4] == content[:4]
        try:
            image = read_image(path, max_megapixels=1)
        except UserError:
            continue
        assert image.dtype == np.uint8 and image.shape[2] == 3 and image.size
    assert known > COUNT / 2
