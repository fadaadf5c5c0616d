from functools import partial
from unittest.mock import Mock

import cv2
import numpy as np
import pytest
import torch

pytest.importorskip('torch', '2.9')

from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope
from torch.nn import functional as F

from twins_mm.checkpoints.load_model import load_model
from twins_mm.export.evaluation import evaluate, predict_with
from twins_mm.export.make_deployable import make_deployable
from twins_mm.toy.config import use_toy_data


def as_detections(sample, number=8):
    """Ground truth in the form of an exported Mask R-CNN's outputs."""
    truth = sample.gt_instances
    boxes, masks = torch.zeros(1, number, 4), torch.zeros(1, number, 28, 28)
    labels = torch.full((1, number), -1)
    for place, (box, label, mask) in enumerate(
        zip(truth.bboxes.tensor.round(), truth.labels, truth.masks.masks)
    ):
        left, top, right, bottom = box.int().tolist()
        part = np.float32(mask[top:bottom, left:right])
        boxes[0, place] = box * torch.tensor(sample.scale_factor).repeat(2)
        labels[0, place] = label
        masks[0, place] = torch.from_numpy(cv2.resize(part, (28, 28), interpolation=cv2.INTER_AREA))
    return boxes, (labels >= 0) * 0.9, labels, masks


def as_labels(sample):
    """Ground truth in the form of an exported segmentor's outputs."""
    return (F.interpolate(sample.gt_sem_seg.data[None].float(), sample.img_shape).long()[0],)


@pytest.mark.parametrize(
    ('name', 'as_outputs', 'perfect', 'worthless'),
    [
        ('mask_rcnn_twins_svt_s_1x', as_detections, {'box AP': 99, 'mask AP': 85}, {}),
        ('semantic_fpn_twins_svt_s_80k', as_labels, {'mIoU': 99.9}, {'mIoU': 25}),
    ],
)
def test_ground_truth_is_perfect(
    name, as_outputs, perfect, worthless, tiny_config, toy_folder, monkeypatch, capsys
):
    """In images of twice the original's size."""
    monkeypatch.chdir(toy_folder)
    cfg = Config.fromfile(tiny_config(name))
    use_toy_data(cfg)
    cfg.merge_from_dict(
        {'val_dataloader.dataset.pipeline.1': dict(scale=None, scale_factor=2.0, keep_ratio=True)}
    )
    deployable = make_deployable(load_model(cfg, None))
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        samples = [item['data_samples'] for item in DATASETS.build(cfg.val_dataloader.dataset)]
    assert samples[0].img_shape[0] == 2 * samples[0].ori_shape[0]
    truth = [as_outputs(sample) for sample in samples]
    nothing = [
        tuple(map(partial(torch.full_like, fill_value=-1 if name[0] == 'm' else 0), one))
        for one in truth
    ]
    capsys.readouterr()
    found, none = (
        evaluate(cfg, predict_with(Mock(side_effect=outputs), deployable), 'it')
        for outputs in (truth, nothing)
    )
    assert found.keys() == perfect.keys()
    assert all(perfect[metric] < found[metric] <= 100 for metric in perfect), found
    assert none.keys() == worthless.keys()
    assert all(none[metric] < worthless[metric] for metric in worthless), none
    assert capsys.readouterr().out == ''
