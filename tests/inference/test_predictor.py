from pathlib import PurePath

import cv2
import numpy as np
import pytest
from mmdet.apis import inference_detector
from mmengine.config import Config
from mmseg.apis import inference_model

from twins_mm.checkpoints.load_model import load_model
from twins_mm.cli import load_config
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


@pytest.mark.parametrize(
    ('name', 'options'),
    [
        ('mask_rcnn_twins_pcpvt_s_1x', {'model.test_cfg.rcnn.score_thr': 0.0}),
        ('semantic_fpn_twins_svt_s_80k', {}),
    ],
)
def test_predictions_are_openmmlabs(name, options, tiny_config, save_model, tmp_path):
    save_model(tiny_config(name), tmp_path / 'model.pth')
    cfg = load_config(
        str(tmp_path / 'tiny.py'),
        {**options, 'test_dataloader.dataset.pipeline.1.scale': (128, 96)},
    )
    cfg.test_pipeline = cfg.test_dataloader.dataset.pipeline  # which mmseg's function reads
    cfg.dump(tmp_path / 'small.py')
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    cv2.imwrite(str(tmp_path / 'image.png'), image)

    predictor = Predictor(tmp_path / 'small.py', tmp_path / 'model.pth')
    found = [predictor(image), predictor(tmp_path / 'image.png')]
    model = load_model(cfg, str(tmp_path / 'model.pth'))
    for one in found:
        if 'rcnn' in name:
            expected = inference_detector(model, image).pred_instances
            assert len(expected) > 50
            for key in ('bboxes', 'labels', 'scores', 'masks'):
                assert one.pred_instances[key].equal(expected[key])
        else:
            expected = inference_model(model, image).pred_sem_seg.data
            assert one.pred_sem_seg.data.equal(expected) and len(expected.unique()) > 1


def test_other_libraries_are_refused():
    with pytest.raises(UserError, match="default_scope = 'mmpose'"):
        Predictor(Config(dict(default_scope='mmpose')), 'none.pth')


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
