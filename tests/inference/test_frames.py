from pathlib import Path, PurePath

import cv2
import numpy as np
import pytest

from twins_mm.errors import UserError
from twins_mm.inference.frames import Images, Video, open_frames, read_image


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Images in two folders, a text file, results of an earlier run, and a video."""
    image = np.full((4, 6, 3), 100, np.uint8)
    for name in ('a/x.jpg', 'a/deep/y.PNG', 'b/x.jpg', 'out/pictures/x.jpg'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(cv2.imencode(Path(name).suffix.lower(), image)[1])
    (tmp_path / 'a/notes.txt').write_text('')
    writer = cv2.VideoWriter(
        str(tmp_path / 'clip.mp4'), cv2.VideoWriter_fourcc(*'mp4v'), 5, (64, 48))
    for shade in (0, 120, 240):
        writer.write(np.full((48, 64, 3), shade, np.uint8))
    writer.release()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(('names', 'expected'), [
    (['a/x.jpg'], ['x.jpg']),
    (['a'], ['deep/y.PNG', 'x.jpg']),
    (['b/x.jpg', 'a/x.jpg'], ['b/x.jpg', 'a/x.jpg']),
    (['?/*.jpg', 'a/../a/x.jpg'], ['a/x.jpg', 'b/x.jpg']),
    (['.'], ['a/deep/y.PNG', 'a/x.jpg', 'b/x.jpg'])])
def test_names_folders_and_globs(names, expected, photos):
    frames = open_frames(names, Path('out'))
    assert isinstance(frames, Images) and len(frames) == len(expected)
    assert [frame.name for frame in frames] == list(map(PurePath, expected))
    assert all(frame.image.shape == (4, 6, 3) for frame in frames)


@pytest.mark.parametrize(('names', 'message'), [
    (['a/x.jpg', 'none.jpg'], 'No image found: none.jpg'),
    (['c*/*.jpg'], r'No image found: c\*'),
    (['out'], 'No image found: out'),
    (['clip.mp4', 'a'], 'either images or a single video'),
    (['broken.mp4'], 'Could not read the video .*broken.mp4')])
def test_bad_names_are_reported(names, message, photos):
    Path('broken.mp4').write_text('<html>')
    with pytest.raises(UserError, match=message):
        open_frames(names, Path('out'))


def test_video(photos):
    frames = open_frames(['clip.mp4'], Path('out'))
    assert isinstance(frames, Video) and len(frames) == 3 and frames.fps == 5
    read = list(frames)
    assert [frame.name.as_posix() for frame in read] == [
        f'clip/00000{number}.jpg' for number in (1, 2, 3)]
    assert [frame.image.mean() for frame in read] == pytest.approx([0, 120, 240], abs=3)


@pytest.mark.parametrize('content', [b'', b'<html>', b'\xff\xd8\xff\xe0'])
def test_file_without_an_image_gives_none(content, tmp_path):
    (tmp_path / 'x.jpg').write_bytes(content)
    assert read_image(tmp_path / 'x.jpg') is None
    assert read_image(tmp_path / 'none.jpg') is None


def test_grey_and_transparent_images_have_three_channels(tmp_path):
    for channels in (1, 4):
        cv2.imwrite(str(tmp_path / 'x.png'), np.zeros((4, 6, channels), np.uint8))
        assert read_image(tmp_path / 'x.png').shape == (4, 6, 3)
