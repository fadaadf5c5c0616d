from pathlib import PurePath

import numpy as np
import pytest
from mmengine.config import Config

from twins_mm.errors import UserError
from twins_mm.inference.frames import Frame
from twins_mm.inference.predictor import build_inferencer, predict


class Recorder:
    """A stand-in for mmdet's or mmseg's inferencer that records the sizes of its batches."""

    def __init__(self, library):
        self.library = library
        self.batches = []

    def __call__(self, images, batch_size, return_datasamples):
        assert return_datasamples and batch_size == len(images)
        self.batches.append(batch_size)
        results = [int(image[0, 0, 0]) for image in images]
        if self.library == 'mmdet':
            return dict(predictions=results)
        return results if len(results) > 1 else results[0]


@pytest.mark.parametrize('library', ['mmdet', 'mmseg'])
def test_batches_have_one_size_and_each_frame_gets_its_prediction(library):
    sizes = [(4, 6)] * 3 + [(6, 4), None, None, (6, 4), (4, 6)]
    frames = [
        Frame(PurePath(str(number)), size and np.full((*size, 3), number, np.uint8))
        for number, size in enumerate(sizes)
    ]
    inferencer = Recorder(library)
    pairs = list(predict(inferencer, iter(frames), 2))
    assert [(int(frame.name.name), result) for frame, result in pairs] == [
        (number, number if size else None) for number, size in enumerate(sizes)
    ]
    assert inferencer.batches == [2, 1, 1, 1, 1]


def test_other_libraries_are_refused():
    with pytest.raises(UserError, match="default_scope = 'mmpose'"):
        build_inferencer(Config(dict(default_scope='mmpose')), 'none.pth')


@pytest.mark.xfail(strict=True, reason='B1: an image that the model fails on ends the run')
@pytest.mark.parametrize(
    ('fails', 'lost'),
    [
        (lambda images: any(image[0, 0, 0] == 1 for image in images), [1]),
        (lambda images: len(images) > 1, []),
    ],
    ids=['odd image', 'batch beyond the memory'],
)
def test_failing_batch_is_predicted_image_by_image(fails, lost):
    class Failing(Recorder):
        def __call__(self, images, **kwargs):
            if fails(images):
                raise RuntimeError('CUDA out of memory')
            return super().__call__(images, **kwargs)

    frames = [
        Frame(PurePath(str(number)), np.full((4, 6, 3), number, np.uint8)) for number in range(4)
    ]
    pairs = list(predict(Failing('mmdet'), frames, 2))
    assert [result for _, result in pairs] == [
        None if number in lost else number for number in range(4)
    ]
    assert [bool(frame.reason) for frame, _ in pairs] == [number in lost for number in range(4)]
