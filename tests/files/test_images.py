import cv2
import mmcv
import numpy as np
import pytest
from PIL import Image

from twins_mm.errors import UserError
from twins_mm.files.images import read_image
from twins_mm.inference.frames import Images


def reason_of(path, **limit):
    with pytest.raises(UserError) as caught:
        read_image(path, **limit)
    return str(caught.value)


@pytest.mark.parametrize(
    ('content', 'reason'),
    [(b'', 'an empty file'), (b'<html>', 'not an image'), (b'\xff\xd8\xff\xe0', 'not an image')],
)
def test_file_without_an_image_is_refused(content, reason, tmp_path):
    (tmp_path / 'x.jpg').write_bytes(content)
    assert reason_of(tmp_path / 'x.jpg') == reason
    assert reason_of(tmp_path / 'none.jpg') == 'No such file or directory'
    (frame,) = Images([tmp_path / 'x.jpg'])
    assert frame.image is None and frame.reason == reason


@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.bmp', '.webp', '.ppm', '.tif'])
@pytest.mark.parametrize('part', [0.5, 0.99])
def test_truncated_image_is_refused(suffix, part, tmp_path, monkeypatch):
    """OpenCV 4 decodes a part of some, and fills the rest with grey."""
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    content = cv2.imencode(suffix, image)[1].tobytes()
    path = tmp_path / f'x{suffix}'
    path.write_bytes(content)
    assert read_image(path).shape == image.shape
    path.write_bytes(content[: int(part * len(content))])
    if suffix in ('.jpg', '.png', '.bmp', '.ppm'):
        monkeypatch.setattr(cv2, 'imdecode', lambda *args: image)
        assert reason_of(path) == 'truncated'
    else:
        assert reason_of(path) in ('truncated', 'not an image')


@pytest.mark.parametrize('megapixels', [0.0047, 1])
def test_large_image_is_refused_before_it_is_decoded(megapixels, tmp_path, monkeypatch):
    size = (60, 80, 3) if megapixels < 1 else (18000, 20000)  # above Pillow's own limit
    cv2.imwrite(str(tmp_path / 'x.png'), np.zeros(size, np.uint8))
    monkeypatch.setattr(cv2, 'imdecode', None)
    assert '-max-megapixels' in reason_of(tmp_path / 'x.png', max_megapixels=megapixels)


def test_opencvs_own_limit_is_named(tmp_path, monkeypatch):
    def imdecode(*args):
        raise cv2.error('Assertion failed: pixels <= CV_IO_MAX_IMAGE_PIXELS')

    (tmp_path / 'x.exr').write_bytes(b'v/1')
    monkeypatch.setattr(cv2, 'imdecode', imdecode)
    assert 'OPENCV_IO_MAX_IMAGE_PIXELS' in reason_of(tmp_path / 'x.exr')


def test_grey_and_transparent_images_have_three_channels(tmp_path):
    for channels in (1, 4):
        cv2.imwrite(str(tmp_path / 'x.png'), np.zeros((4, 6, channels), np.uint8))
        assert read_image(tmp_path / 'x.png').shape == (4, 6, 3)


@pytest.mark.parametrize('suffix', ['.png', '.tif'])
@pytest.mark.parametrize(('bits', 'shift'), [(8, 0), (10, 2), (12, 4), (16, 8)])
@pytest.mark.parametrize('channels', [1, 3])
def test_16_bit_images_are_not_black(bits, shift, channels, suffix, tmp_path):
    image = np.random.default_rng(0).integers(0, 2**bits, (40, 60, channels), dtype=np.uint16)
    image[0, 0] = 2**bits - 1
    cv2.imwrite(str(tmp_path / f'x{suffix}'), image)
    read = read_image(tmp_path / f'x{suffix}')
    assert read.dtype == np.uint8 and np.array_equal(
        read, np.broadcast_to(image, (40, 60, 3)) >> shift
    )


def test_other_types_of_pixels_are_refused(tmp_path):
    cv2.imwrite(str(tmp_path / 'x.tiff'), np.random.rand(4, 6, 3).astype(np.float32))
    assert 'float32' in reason_of(tmp_path / 'x.tiff')


def test_images_are_read_as_openmmlab_does(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[274] = 6  # turned by 90 degrees
    Image.fromarray(image).save(tmp_path / 'x.jpg', exif=exif)
    read = read_image(tmp_path / 'x.jpg')
    assert read.shape == (60, 40, 3) and np.array_equal(read, mmcv.imread(tmp_path / 'x.jpg'))
