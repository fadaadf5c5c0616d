import sys

import cv2
import numpy as np
import pytest

from twins_mm.inference.pictures import write_video


@pytest.fixture(params=['h264', 'FMP4'])
def codec(request, monkeypatch):
    """The codec of videos, with and without PyAV."""
    if request.param == 'FMP4':
        monkeypatch.setitem(sys.modules, 'av', None)
    return request.param


@pytest.mark.parametrize('size', [(48, 64), (49, 65)])
def test_video_appears_when_it_is_complete(size, codec, tmp_path, capsys):
    path = tmp_path / 'new/clip.mp4'
    with write_video(path, 5) as add:
        for shade in (0, 100, 200):
            add(np.full((*size, 3), shade, np.uint8))
        assert not path.exists()
    assert ('pip install av' in capsys.readouterr().out) == (codec != 'h264')
    video = cv2.VideoCapture(str(path))
    assert video.get(cv2.CAP_PROP_FPS) == 5
    assert int(video.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, 'little').decode() == codec
    shades = [video.read()[1].mean() for _ in range(3)]
    assert shades == pytest.approx([0, 100, 200], abs=6)
    assert not video.read()[0]
    assert list(path.parent.iterdir()) == [path]
