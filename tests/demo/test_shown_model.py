import json
from pathlib import PurePath
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from mmseg.structures import SegDataSample

from twins_mm.cli import load_config
from twins_mm.demo.shown_model import ShownModel, View
from twins_mm.files.shipped import CONFIGS
from twins_mm.inference.attention import trace_attention
from twins_mm.inference.attention_figure import draw_attention
from twins_mm.inference.backbone_input import load_backbone, prepare_image
from twins_mm.inference.frames import Frame
from twins_mm.tasks import TASKS

META = dict(classes=('cat', 'dog', 'cow'), palette=[(255, 0, 0), (0, 255, 0), (0, 0, 255)])


def make_view(task, sample):
    """A view of a black photograph of 40 x 20 pixels."""
    model = SimpleNamespace(task=TASKS[task], dataset_meta=META)
    return View(model, Frame(PurePath('x.jpg'), np.zeros((20, 40, 3), np.uint8)), sample)


def make_objects(with_masks):
    masks = torch.zeros(3, 20, 40, dtype=torch.bool)
    masks[0, :10, :10] = masks[1, 10:, 20:] = masks[2, :5] = True
    return DetDataSample(
        pred_instances=InstanceData(
            bboxes=torch.tensor([[0.0, 0, 10, 10], [20, 10, 40, 20], [0, 0, 40, 5]]),
            scores=torch.tensor([0.25, 0.75, 0.5]),
            labels=torch.tensor([0, 2, 2]),
            **dict(masks=masks) if with_masks else {},
        )
    )


@pytest.mark.parametrize(
    ('score_thr', 'scores', 'words'),
    [
        (0, [0.75, 0.5, 0.25], '2 cow, 1 cat'),
        (0.25, [0.75, 0.5], '2 cow'),
        (0.75, [], 'nothing found'),
    ],
)
def test_objects_above_the_score_are_listed_the_best_first(score_thr, scores, words):
    view = make_view('instance_segmentation', make_objects(with_masks=True))
    found = view.find(score_thr)
    assert [one.score for one in found] == scores
    assert view.describe(score_thr) == words
    for one in found[:1]:
        assert one == ('cow', (0, 0, 255), 0.75, (20, 10, 40, 20), 200 / 800)


def test_boxes_alone_have_no_share():
    assert {one.share for one in make_view('detection', make_objects(False)).find(0)} == {None}


def test_classes_are_listed_the_largest_first():
    labels = torch.zeros(1, 20, 40, dtype=torch.long)
    labels[0, :, 10:] = 2
    view = make_view('semantic_segmentation', SegDataSample(pred_sem_seg=PixelData(data=labels)))
    assert view.find(1) == [
        ('cow', (0, 0, 255), None, None, 0.75),
        ('cat', (255, 0, 0), None, None, 0.25),
    ]
    assert view.describe(1) == 'cow, cat'


def test_only_objects_above_the_score_are_drawn():
    view = make_view('instance_segmentation', make_objects(with_masks=True))
    assert not view.draw(0.75).any()
    picture = view.draw(0.5)
    assert picture.shape == (20, 40, 3)
    assert picture[15, 30].argmax() == 2 and picture[15, 30, 2] > 100  # the mask's blue
    assert not picture[:5, :15].any()


@pytest.mark.parametrize(
    ('name', 'options'),
    [
        (
            'mask_rcnn_twins_pcpvt_s_1x',
            {'model.test_cfg.rcnn.score_thr': 0.0, 'model.test_cfg.rcnn.max_per_img': 5},
        ),
        ('semantic_fpn_twins_svt_s_80k', {}),
    ],
)
def test_network_runs_once_and_attention_is_the_backbones(
    name, options, tiny_config, save_model, tmp_path
):
    config = tiny_config(name)
    save_model(config, tmp_path / 'model.pth')
    cfg = load_config(
        str(config), {**options, 'test_dataloader.dataset.pipeline.1.scale': (96, 64)}
    )
    model = ShownModel(cfg, str(tmp_path / 'model.pth'))
    assert (model.name, model.checkpoint) == ('tiny', 'model.pth')
    runs = []
    model.predictor.model.backbone.register_forward_hook(lambda *_: runs.append(1))
    image = np.random.default_rng(0).integers(0, 255, (60, 90, 3), np.uint8)
    view = model.look_at(Frame(PurePath('x.jpg'), image))
    for score_thr in (0, 0.5):
        assert view.draw(score_thr).shape == image.shape
        assert len(view.find(score_thr)) == (5 if options and not score_thr else len(view.find(1)))
    if options:
        written = json.loads(view.file.read_text())
        assert len(written['annotations']) == 5
        assert (written['images'][0]['width'], written['images'][0]['height']) == (90, 60)
    else:
        labels = cv2.imread(str(view.file), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(labels, view.sample.pred_sem_seg.data[0] + 1)
    assert len(runs) == 1

    pictures = [view.attend(*point) for point in ((0.5, 0.5), (1, 1))]
    assert len(runs) == 2 and not np.array_equal(*pictures)
    inputs, resized = prepare_image(cfg, image)
    stages = trace_attention(load_backbone(cfg, str(tmp_path / 'model.pth')), inputs)
    expected = draw_attention(cv2.cvtColor(resized, cv2.COLOR_BGR2RGB), stages, [(0.5, 0.5)])
    expected.savefig(tmp_path / 'expected.png')
    theirs = cv2.imread(str(tmp_path / 'expected.png'))[..., ::-1]
    assert np.array_equal(pictures[0], theirs)


def test_file_goes_with_its_view():
    view = make_view('detection', make_objects(False))
    path = view.file
    assert path.is_file() and view.file is path
    del view
    assert not path.exists()


def test_most_likely_class_is_written_on_the_picture():
    sample = BaseDataElement(pred_score=torch.tensor([0.1, 0.7, 0.2]))
    assert make_view('classification', sample).draw(0).any()


def test_models_of_others_are_shown_without_attention(save_model, tmp_path):
    name = str(CONFIGS / 'baselines/retinanet_resnet_50_1x.py')
    cfg = load_config(
        name,
        {
            'model.backbone.init_cfg': None,
            'model.backbone.depth': 18,
            'model.neck.in_channels': [128, 256, 512],
            'test_dataloader.dataset.pipeline.1.scale': (96, 64),
        },
    )
    cfg.dump(tmp_path / 'resnet.py')
    save_model(tmp_path / 'resnet.py', tmp_path / 'model.pth')
    model = ShownModel(cfg, str(tmp_path / 'model.pth'))
    image = np.zeros((60, 90, 3), np.uint8)
    assert model.look_at(Frame(PurePath('x.jpg'), image)).draw(0).shape == image.shape
