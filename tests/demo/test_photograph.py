import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from twins_mm.demo import photograph
from twins_mm.demo.photograph import MAX_PIXELS, SHOWN_PIXELS, read_photograph
from twins_mm.errors import UserError


def write_bomb(path, width, height):
    """A PNG whose header promises pixels that don't come."""

    def chunk(name, data):
        return (
            struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))
        )

    header = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    path.write_bytes(
        b'\x89PNG\r\n\x1a\n'
        + chunk(b'IHDR', header)
        + chunk(b'IDAT', zlib.compress(bytes(100)))
        + chunk(b'IEND', b'')
    )


@pytest.mark.parametrize('side', [int(MAX_PIXELS**0.5) + 1, 30_000, 100_000])
def test_image_of_too_many_pixels_is_not_decoded(side, tmp_path, monkeypatch):
    monkeypatch.setattr(photograph, 'read_image', lambda *_: pytest.fail('it was decoded'))
    write_bomb(tmp_path / 'x.png', side, side)
    with pytest.raises(UserError, match='more than 100 million pixels'):
        read_photograph(tmp_path / 'x.png')


@pytest.mark.parametrize(
    'content',
    [
        b'',
        b'<html>',
        b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        b'%!PS-Adobe-3.0 EPSF-3.0',
        b'\x89PNG\r\n\x1a\n',
        b'\xff\xd8\xff\xe0',
    ],
    ids=str,
)
def test_what_is_not_an_image_is_refused_in_a_sentence(content, tmp_path):
    (tmp_path / 'x.png').write_bytes(content)
    with pytest.raises(UserError, match='could not be read as an image. Use a JPEG'):
        read_photograph(tmp_path / 'x.png')


def test_small_photograph_stays_as_it_is(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8)
    cv2.imwrite(str(tmp_path / 'x.png'), image)
    frame, size = read_photograph(tmp_path / 'x.png')
    assert np.array_equal(frame.image, image)
    assert (str(frame.name), size) == ('x.png', '40 × 30 pixels')


def test_large_photograph_is_turned_as_its_camera_says_and_reduced(tmp_path):
    image = Image.new('RGB', (3000, 2000), 'blue')
    image.paste('red', (0, 0, 3000, 1000))
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned clockwise: what is at the top comes to the right
    image.save(tmp_path / 'x.jpg', exif=exif)
    frame, size = read_photograph(tmp_path / 'x.jpg')
    height, width = frame.image.shape[:2]
    assert height * width == pytest.approx(SHOWN_PIXELS, rel=0.01)
    assert height / width == pytest.approx(3000 / 2000, rel=0.01)
    assert frame.image[height // 2, -10].tolist() == pytest.approx([0, 0, 254], abs=3)
    assert size == f'{width} × {height} pixels, reduced from 2000 × 3000 pixels'
