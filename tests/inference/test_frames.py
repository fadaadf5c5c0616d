from pathlib import Path, PurePath

import cv2
import numpy as np
import pytest
from mutants import mutate_bytes

from twins_mm.errors import UserError
from twins_mm.inference.frames import Images, Video, open_frames


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Images in two folders, a text file, results of an earlier run, and a video."""
    image = np.full((4, 6, 3), 100, np.uint8)
    for name in ('a/x.jpg', 'a/deep/y.PNG', 'b/x.jpg', 'out/pictures/x.jpg'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(cv2.imencode(Path(name).suffix.lower(), image)[1])
    (tmp_path / 'a/notes.txt').write_text('')
    writer = cv2.VideoWriter(
        str(tmp_path / 'clip.mp4'), cv2.VideoWriter_fourcc(*'mp4v'), 5, (64, 48)
    )
    for shade in (0, 120, 240):
        writer.write(np.full((48, 64, 3), shade, np.uint8))
    writer.release()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ('names', 'expected'),
    [
        (['a/x.jpg'], ['x.jpg']),
        (['a'], ['deep/y.PNG', 'x.jpg']),
        (['b/x.jpg', 'a/x.jpg'], ['b/x.jpg', 'a/x.jpg']),
        (['?/*.jpg', 'a/../a/x.jpg'], ['a/x.jpg', 'b/x.jpg']),
        (['.'], ['a/deep/y.PNG', 'a/x.jpg', 'b/x.jpg']),
    ],
)
def test_names_folders_and_globs(names, expected, photos):
    frames = open_frames(names, Path('out'))
    assert isinstance(frames, Images) and len(frames) == len(expected)
    assert [frame.name for frame in frames] == list(map(PurePath, expected))
    assert all(frame.image.shape == (4, 6, 3) for frame in frames)


@pytest.mark.parametrize(
    ('names', 'message'),
    [
        (['a/x.jpg', 'none.jpg'], 'No image found: none.jpg'),
        (['c*/*.jpg'], r'No image found: c\*'),
        (['out'], 'No image found: out$'),
        (['phone'], 'No image found: phone, only .HEIC .MOV$'),
        (['clip.mp4', 'a'], 'either images or a single video'),
        (['broken.mp4'], 'Could not read the video .*broken.mp4'),
    ],
)
def test_bad_names_are_reported(names, message, photos):
    Path('broken.mp4').write_text('<html>')
    Path('phone').mkdir()
    for name in ('a.HEIC', 'b.HEIC', 'b.MOV'):
        Path('phone', name).touch()
    with pytest.raises(UserError, match=message):
        open_frames(names, Path('out'))


def test_video(photos):
    frames = open_frames(['clip.mp4'], Path('out'))
    assert isinstance(frames, Video) and len(frames) == 3 and frames.fps == 5
    read = list(frames)
    assert [frame.name.as_posix() for frame in read] == [
        f'clip/00000{number}.jpg' for number in (1, 2, 3)
    ]
    assert [frame.image.mean() for frame in read] == pytest.approx([0, 120, 240], abs=3)


def test_names_that_differ_in_folder_or_suffix_stay_apart(tmp_path):
    names = ['a/x.jpg', 'b/x.jpg', 'b/x.png', 'b/x.png.jpg', 'b/y.tif', 'b/y.z.tif']
    named = [Path(name) for name in names]
    for path in named:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / path), np.zeros((4, 6, 3), np.uint8))
    frames = open_frames([str(tmp_path / name) for name in names], tmp_path / 'out')
    expected = ['a/x.jpg', 'b/x.jpg', 'b/x.png.jpg', 'b/x.png.jpg.jpg', 'b/y.jpg', 'b/y.z.jpg']
    assert [frame.named('.jpg').as_posix() for frame in frames] == expected
    frames.skip({'b/x.jpg'})  # nor does a name depend on what is done already
    assert [frame.named('.jpg').as_posix() for frame in frames] == expected[:1] + expected[2:]


def test_other_files_of_a_folder_are_listed(photos):
    for name in ('a/deep/p.HEIC', 'a/clip.MOV', 'a/none'):
        (photos / name).touch()
    frames = open_frames(['a', 'b/x.jpg'], Path('out'))
    reasons = dict(frames.others)
    assert sorted(reasons) == ['a/clip.MOV', 'a/deep/p.HEIC', 'a/none', 'a/notes.txt']
    assert reasons['a/deep/p.HEIC'].startswith('.HEIC is not among .bmp .jpeg .jpg')
    assert reasons['a/clip.MOV'].startswith('a video in a folder')
    assert reasons['a/none'].startswith('no suffix is not')


@pytest.mark.parametrize('processes', [1, 2, 3])
def test_processes_share_what_is_left(processes, photos, monkeypatch):
    names = []
    for rank in range(processes):
        info = rank, processes
        monkeypatch.setattr('twins_mm.inference.frames.get_dist_info', lambda info=info: info)
        frames = open_frames(['.'], Path('out'))
        frames.share()
        frames.skip({'a/x.jpg'})
        names += [frame.name.as_posix() for frame in frames]
    assert sorted(names) == ['a/deep/y.PNG', 'b/x.jpg']


def test_truncated_video_is_reported(photos):
    """An AVI file's index is at its end; its header says how many frames there were."""
    writer = cv2.VideoWriter('clip.avi', cv2.VideoWriter_fourcc(*'MJPG'), 5, (64, 48))
    for shade in range(60):
        writer.write(np.full((48, 64, 3), 4 * shade, np.uint8))
    writer.release()
    content = Path('clip.avi').read_bytes()
    Path('clip.avi').write_bytes(content[: len(content) // 2])
    *frames, last = open_frames(['clip.avi'], Path('out'))
    assert all(frame.image is not None for frame in frames) and 10 < len(frames) < 40
    assert last.name == PurePath('clip.avi') and last.image is None
    assert last.reason == f'damaged or truncated: it ends after {len(frames)} of 60 frames'


def test_linked_folder_is_read_or_named(photos):
    (photos / 'a/linked').symlink_to(photos / 'b')
    frames = open_frames(['a'], Path('out'))
    names = [*map(str, frames.names), *(name for name, _ in frames.others)]
    assert any(name.startswith('linked') for name in names)


def test_output_folder_is_skipped_however_it_is_written(photos, monkeypatch):
    monkeypatch.chdir(photos / 'a')
    frames = open_frames(['..'], Path('../out'))
    assert list(map(str, frames.names)) == ['a/deep/y.PNG', 'a/x.jpg', 'b/x.jpg']


def test_resource_forks_are_no_images(photos):
    (photos / 'a/._x.jpg').write_bytes(b'\0\5\x16\7')
    assert list(map(str, open_frames(['a'], Path('out')).names)) == ['deep/y.PNG', 'x.jpg']


@pytest.mark.parametrize(('suffix', 'codec'), [('webm', 'libvpx'), ('mkv', 'mjpeg')])
def test_video_without_a_duration_is_read(suffix, codec, tmp_path):
    """As browsers record it, or a program that was ended."""
    import av

    path = tmp_path / f'clip.{suffix}'
    with av.open(str(path), 'w', options=dict(live='1')) as container:
        stream = container.add_stream(codec, rate=5)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = 'yuvj420p' if codec == 'mjpeg' else 'yuv420p'
        for shade in (0, 120, 240):
            picture = np.full((48, 64, 3), shade, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format='bgr24')))
        container.mux(stream.encode())
    frames = list(open_frames([str(path)], Path('out')))
    assert [frame.image.mean() for frame in frames] == pytest.approx([0, 120, 240], abs=6)


@pytest.mark.parametrize(('suffix', 'codec'), [('mp4', 'mp4v'), ('avi', 'MJPG'), ('mkv', 'mp4v')])
def test_damaged_videos_are_read_or_explained(suffix, codec, tmp_path):
    path = tmp_path / f'clip.{suffix}'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 5, (64, 48))
    for shade in range(0, 250, 25):
        writer.write(np.full((48, 64, 3), shade, np.uint8))
    writer.release()
    content, read = path.read_bytes(), 0
    for mutant in mutate_bytes(content, 30):
        path.write_bytes(mutant)
        try:
            frames = list(open_frames([str(path)], Path('out')))
        except UserError as error:
            assert str(path) in str(error)
            continue
        read += 1
        assert all(frame.image is not None or frame.reason for frame in frames)
    assert read > 3  # a video's index is at one end of the file
