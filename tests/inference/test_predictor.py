from pathlib import PurePath

import numpy as np
import pytest
from mmengine.config import Config

from twins_mm.errors import UserError
from twins_mm.inference.frames import Frame
from twins_mm.inference.predictor import Predictor


class Recorder(Predictor):
    """Predicts the number in an image's first pixel, and records the sizes of its batches."""

    def __init__(self):
        self.batches = []

    def _prepare(self, image):
        return dict(img=image)

    def predict(self, inputs):
        self.batches.append(len(inputs))
        return [int(one['img'][0, 0, 0]) for one in inputs]


def test_batches_have_one_size_and_each_frame_gets_its_prediction():
    sizes = [(4, 6)] * 3 + [(6, 4), None, None, (6, 4), (4, 6)]
    frames = [
        Frame(PurePath(str(number)), size and np.full((*size, 3), number, np.uint8))
        for number, size in enumerate(sizes)
    ]
    predictor = Recorder()
    pairs = list(predictor.predict_frames(iter(frames), 2))
    assert [(int(frame.name.name), result) for frame, result in pairs] == [
        (number, number if size else None) for number, size in enumerate(sizes)
    ]
    assert predictor.batches == [2, 1, 1, 1, 1]


def test_other_libraries_are_refused():
    with pytest.raises(UserError, match="default_scope = 'mmpose'"):
        Predictor(Config(dict(default_scope='mmpose')), 'none.pth')


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
        def predict(self, inputs):
            if fails([one['img'] for one in inputs]):
                raise RuntimeError('CUDA out of memory')
            return super().predict(inputs)

    frames = [
        Frame(PurePath(str(number)), np.full((4, 6, 3), number, np.uint8)) for number in range(4)
    ]
    pairs = list(Failing().predict_frames(frames, 2))
    assert [result for _, result in pairs] == [
        None if number in lost else number for number in range(4)
    ]
    assert [bool(frame.reason) for frame, _ in pairs] == [number in lost for number in range(4)]
