import shutil
import weakref
from datetime import datetime

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope

from twins_mm.cli import load_config
from twins_mm.report.extremes import draw_extremes
from twins_mm.report.run import Run
from twins_mm.tasks import SemanticSegmentation


@pytest.fixture
def untrained_run(tiny_config, toy_folder, monkeypatch):
    """A segmentor's run with its own copy of six validation images."""
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
    assert failures == [
        f'{broken.name}: AssertionError: failed to load image: {broken.relative_to(tmp_path)}'
    ]
    shown = [*best, *worst]
    assert len(shown) == len({picture.source for picture in shown}) > 1
    assert broken.name not in {picture.source.name for picture in shown}
    assert all(picture.path.stat().st_size for picture in shown)


def test_predictions_are_not_kept(untrained_run, tmp_path, monkeypatch):
    """Nor are logits: those of ADE20K's 150 classes take 205 MiB at 683 x 512."""
    alive, most = weakref.WeakSet(), 0
    rate = SemanticSegmentation.rate

    def rate_and_count(task, sample):
        nonlocal most
        assert 'seg_logits' not in sample
        alive.add(sample.pred_sem_seg.data)
        most = max(most, len(alive))
        return rate(task, sample)

    monkeypatch.setattr(SemanticSegmentation, 'rate', rate_and_count)
    draw_extremes(untrained_run, 6, tmp_path / 'out')
    assert most == 1
