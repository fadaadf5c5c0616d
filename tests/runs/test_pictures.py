import shutil
import weakref
from datetime import datetime

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample

from twins_mm.cli import load_config
from twins_mm.runs import pictures
from twins_mm.runs.pictures import draw_extremes, score_boxes, score_labels
from twins_mm.runs.work_dir import Run

SQUARE, FAR = [0, 0, 10, 10], [50, 50, 60, 60]


def instances(*items, **more):
    """Of pairs of a box and a label."""
    boxes, labels = zip(*items) if items else ((), ())
    return InstanceData(bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
                        labels=torch.tensor(labels, dtype=torch.int64), **more)


def detection(truth, found, scores=None, ignored=()):
    scores = torch.tensor(scores if scores else [0.9] * len(found))
    return DetDataSample(gt_instances=instances(*truth), ignored_instances=instances(*ignored),
                         pred_instances=instances(*found, scores=scores))


@pytest.mark.parametrize(('sample', 'score'), [
    (detection([(SQUARE, 0), (FAR, 1)], [(SQUARE, 0), (FAR, 1)]), 1.),
    (detection([(SQUARE, 0), (FAR, 1)], [(SQUARE, 0)]), 2 / 3),
    (detection([(SQUARE, 0)], [(SQUARE, 0), (FAR, 0)]), 2 / 3),
    (detection([(SQUARE, 0)], [(SQUARE, 1)]), 0.),
    (detection([(SQUARE, 0)], [(SQUARE, 0), (SQUARE, 0)]), 2 / 3),
    (detection([(SQUARE, 0)], [([0, 0, 10, 4.9], 0)]), 0.),
    (detection([(SQUARE, 0)], [([0, 0, 10, 5.1], 0)]), 1.),
    (detection([(SQUARE, 0)], [(SQUARE, 0), (FAR, 0)], scores=[0.9, 0.29]), 1.),
    (detection([(SQUARE, 0)], [(SQUARE, 0), (FAR, 0)], ignored=[(FAR, 0)]), 1.),
    (detection([(SQUARE, 0)], []), 0.),
    (detection([], [(SQUARE, 0)]), None),
    (detection([], []), None)])
def test_score_of_boxes(sample, score):
    assert score_boxes(sample) == pytest.approx(score)


def segmentation(truth, found):
    return SegDataSample(gt_sem_seg=PixelData(data=torch.tensor([truth], dtype=torch.uint8)),
                         pred_sem_seg=PixelData(data=torch.tensor([found])))


@pytest.mark.parametrize(('truth', 'found', 'score'), [
    ([[0, 0, 149, 149]], [[0, 0, 149, 149]], 1.),
    # class 0: 1 of 2; class 1: 2 of 3
    ([[0, 0, 1, 1]], [[0, 1, 1, 1]], np.mean([1 / 2, 2 / 3])),
    # class 7 is not in the truth
    ([[0, 0, 0, 0, 1]], [[0, 0, 0, 7, 1]], np.mean([3 / 4, 1])),
    ([[0, 0, 1, 255]], [[0, 0, 1, 4]], 1.),
    ([[0, 0, 255]], [[0, 0, 0]], None),
    ([[255, 255]], [[1, 2]], None)])
def test_score_of_labels(truth, found, score):
    assert score_labels(segmentation(truth, found)) == pytest.approx(score)


@pytest.fixture
def untrained_run(tiny_config, toy_folder, monkeypatch):
    """Of a segmentor, with six validation images of its own."""
    monkeypatch.chdir(toy_folder)
    cfg = load_config(str(tiny_config('semantic_fpn_twins_svt_s_80k')), toy=True)
    dataset = cfg.val_dataloader.dataset
    shutil.copytree(dataset.data_root, 'val')
    dataset.update(data_root='val', indices=6)
    with DefaultScope.overwrite_default_scope('mmseg'):
        torch.save(MODELS.build(cfg.model).state_dict(), 'iter_1.pth')
    (toy_folder / 'last_checkpoint').write_text('iter_1.pth')
    return Run(toy_folder, 'tiny', cfg, datetime.now())


def test_image_that_cannot_be_read_is_left_out(untrained_run, tmp_path):
    broken = tmp_path / 'val/images/validation/ADE_val_00000002.jpg'
    broken.write_text('no image')
    best, worst, failures = draw_extremes(untrained_run, 6, tmp_path / 'out')
    assert failures == [f'{broken.name}: AssertionError: failed to load image: '
                        f'{broken.relative_to(tmp_path)}']
    shown = [*best, *worst]
    assert len(shown) == len({picture.source for picture in shown}) > 1
    assert broken.name not in {picture.source.name for picture in shown}
    assert all(picture.path.stat().st_size for picture in shown)


def test_predictions_are_not_kept(untrained_run, tmp_path, monkeypatch):
    """A logit map of ADE20K's 150 classes takes 205 MiB at 683 x 512."""
    alive, most = weakref.WeakSet(), 0

    def score(sample):
        nonlocal most
        alive.add(sample.seg_logits.data)
        most = max(most, len(alive))
        return score_labels(sample)

    monkeypatch.setattr(pictures, 'score_labels', score)
    draw_extremes(untrained_run, 6, tmp_path / 'out')
    assert most == 1
