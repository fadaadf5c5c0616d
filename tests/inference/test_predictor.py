from pathlib import PurePath

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope

from twins_mm.errors import UserError
from twins_mm.inference.frames import Frame
from twins_mm.inference.predictor import build_inferencer, find_dataset_meta, predict


class Recorder:
    """Stands in for an inferencer, keeps what it is given, and returns as mmdet's or mmseg's."""

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
def test_batches_are_of_one_size_and_each_frame_keeps_its_prediction(library):
    sizes = [(4, 6)] * 3 + [(6, 4), None, None, (6, 4), (4, 6)]
    frames = [Frame(PurePath(str(number)), size and np.full((*size, 3), number, np.uint8))
              for number, size in enumerate(sizes)]
    inferencer = Recorder(library)
    pairs = list(predict(inferencer, iter(frames), 2))
    assert [(int(frame.name.name), result) for frame, result in pairs] == [
        (number, number if size else None) for number, size in enumerate(sizes)]
    assert inferencer.batches == [2, 1, 1, 1, 1]


@pytest.mark.parametrize(('meta', 'classes', 'palette'), [
    (dict(dataset_meta=dict(classes=('a', 'b'), palette=[(1, 1, 1), (2, 2, 2)])),
     ('a', 'b'), [(1, 1, 1), (2, 2, 2)]),
    (dict(dataset_meta=dict(CLASSES=('a', 'b'))), ('a', 'b'), None),
    (dict(CLASSES=('a', 'b'), PALETTE=None), ('a', 'b'), None),
    (None, ('wall', 'building'), [[120, 120, 120], [180, 120, 120]]),
    (dict(CLASSES=('a', 'b', 'c')), ('wall', 'building'), [[120, 120, 120], [180, 120, 120]])])
def test_names_and_colours_are_the_checkpoints_or_the_configs(meta, classes, palette, tiny_config):
    cfg = Config.fromfile(tiny_config('upernet_twins_svt_s_160k'))
    cfg.merge_from_dict({'model.decode_head.num_classes': 2, 'model.auxiliary_head.num_classes': 2,
                         'test_dataloader.dataset.metainfo': dict(classes=('wall', 'building'))})
    cfg.test_dataloader.dataset = dict(type='RepeatDataset', times=1,
                                       dataset=cfg.test_dataloader.dataset)
    init_default_scope('mmseg')
    found = find_dataset_meta(dict(meta=meta), cfg)
    assert tuple(found['classes']) == classes
    assert len(found['palette']) >= 2
    assert palette is None or found['palette'] == palette
    assert found['reduce_zero_label']  # ADE20K's


def test_too_few_names_are_refused(tiny_config):
    cfg = Config.fromfile(tiny_config('retinanet_twins_svt_s_1x'))
    cfg.model.bbox_head.num_classes = 7
    init_default_scope('mmdet')
    with pytest.raises(UserError, match='The model has 7 classes, but neither'):
        find_dataset_meta(dict(meta=dict(CLASSES=('a', 'b'))), cfg)


def test_other_libraries_are_refused():
    with pytest.raises(UserError, match="default_scope = 'mmpretrain'"):
        build_inferencer(Config(dict(default_scope='mmpretrain')), 'none.pth')
