"""Writes pictures and videos."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path

import cv2
import mmcv
import numpy as np

from ..files.atomic_write import replacing

AddPicture = Callable[[np.ndarray], object]


def write_image(path: Path, image: np.ndarray) -> None:
    """Writes an image, BGR or grey, in the format of the path's suffix."""
    with replacing(path) as partial:
        mmcv.imwrite(image, str(partial))


@contextmanager
def write_video(path: Path, fps: float) -> Iterator[AddPicture]:
    """Yields a function that adds a picture; the video appears, complete, after the last one.

    All pictures must have the same size. The video is H.264, which browsers play, if PyAV is
    installed, and MPEG-4 Part 2 otherwise. H.264 loses the last row or column of an odd size.
    """
    try:
        import av  # noqa: F401

        open_video = _open_h264
    except ImportError:
        open_video = _open_mpeg4
        print('For a video that browsers play: pip install av')
    with replacing(path) as partial, ExitStack() as stack:
        adders: list[AddPicture] = []

        def add(picture: np.ndarray) -> None:
            if not adders:
                height, width = picture.shape[:2]
                adders.append(stack.enter_context(open_video(partial, fps, width, height)))
            adders[0](picture)

        yield add
        stack.close()


@contextmanager
def _open_h264(path: Path, fps: float, width: int, height: int) -> Iterator[AddPicture]:
    import av

    width, height = width // 2 * 2, height // 2 * 2  # its colours have half the resolution
    with av.open(str(path), 'w', options=dict(movflags='faststart')) as container:
        stream = container.add_stream('libx264', rate=Fraction(fps).limit_denominator(1001))
        stream.width, stream.height, stream.pix_fmt = width, height, 'yuv420p'

        def add(picture: np.ndarray) -> None:
            frame = av.VideoFrame.from_ndarray(
                np.ascontiguousarray(picture[:height, :width]), format='bgr24'
            )
            container.mux(stream.encode(frame))

        yield add
        container.mux(stream.encode())  # what the encoder has kept back


@contextmanager
def _open_mpeg4(path: Path, fps: float, width: int, height: int) -> Iterator[AddPicture]:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), fps, (width, height))
    yield writer.write
    writer.release()
