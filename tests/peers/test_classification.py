"""Classifiers, which need mmpretrain, in every tool."""

import json
import pickle
import re
from pathlib import PurePath

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from twins_mm.cli import load_config
from twins_mm.config import multiplies_bfloat16
from twins_mm.data.data_sets import DATA_SETS
from twins_mm.files.shipped import CONFIGS
from twins_mm.inference.frames import Frame
from twins_mm.paper.baselines import ABLATIONS
from twins_mm.paper.figures import TABLES
from twins_mm.toy.data import TOY_VERSIONS, make_toy_data

NAME = 'imagenet/twins_svt_s'
SVT_S = '(L, LG, LG, G)'
FEW = [
    'train_dataloader.batch_size=2',
    'val_dataloader.dataset.indices=4',
    'test_dataloader.dataset.indices=4',
    'default_hooks.logger.interval=1',
]


def test_data_set_has_the_classes_of_its_row():
    data = DATA_SETS['imagenet']
    assert len(data.classes) == data.num_classes
    # so their numbers don't depend on the model
    assert data.classes[:3] == TOY_VERSIONS['imagenet'].classes
    assert (CONFIGS / f'{data.example}.py').is_file()


@pytest.mark.parametrize(
    'flags',
    [
        pytest.param([], id='float32'),
        pytest.param(
            ['--amp'],
            id='amp',
            marks=pytest.mark.skipif(
                not torch.cuda.is_available() and not multiplies_bfloat16(),
                reason='another platform: this CPU has no mixed precision',
            ),
        ),
    ],
)
def test_trains_tests_predicts_and_reports_on_toy_data(flags, tiny_config, run_tool, toy_folder):
    config = tiny_config(NAME)
    output = run_tool(
        'train', config, '--toy', *flags, '--cfg-options', *FEW, 'train_cfg.max_iters=2'
    )
    checkpoint = re.search(r'checkpoint: (.*)', output)[1]
    assert 'accuracy/top1' in output and 'pictures:' in output

    output = run_tool(
        'test',
        config,
        checkpoint,
        '--toy',
        *flags,
        '--cfg-options',
        *FEW,
        '--show-dir',
        'shown',
        '--out',
        'out.pkl',
    )
    assert 'accuracy/top5' in output
    assert len(list((toy_folder / 'shown').glob('*.png'))) == 4
    tested = pickle.loads((toy_folder / 'out.pkl').read_bytes())

    images = sorted((toy_folder / 'data/toy/imagenet/val').iterdir())[:4]
    run_tool('predict', config, checkpoint, *images, '--toy', '--out', 'found', *flags)
    found = json.loads((toy_folder / 'found/predictions.json').read_text())['images']
    names = Config.fromfile(toy_folder / 'work_dirs/tiny_toy/tiny.py').val_dataloader.dataset
    for image, theirs, ours in zip(images, tested, found, strict=True):
        assert ours['file_name'] == image.name
        scores = theirs['pred_score']
        best = scores.argsort(descending=True)[:5].tolist()
        assert [one['label'] for one in ours['classes']] == best
        assert [one['score'] for one in ours['classes']] == pytest.approx(scores[best].tolist())
        assert [one['name'] for one in ours['classes']] == [
            names.metainfo.classes[label] for label in best
        ]
        picture = cv2.imread(str(toy_folder / f'found/pictures/{image.stem}.jpg'))
        assert picture.shape == cv2.imread(str(image)).shape

    assert 'A toy run' in run_tool('report', 'work_dirs/tiny_toy', '--images', 4)
    assert list((toy_folder / 'work_dirs/tiny_toy/report').rglob('best_1.jpg'))


def build(name=NAME, **backbone):
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    cfg.model.backbone.update(backbone)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return cfg, MODELS.build(cfg.model)


@pytest.mark.parametrize('row', [row for row in ABLATIONS if row not in ('2D Conv.', SVT_S)])
def test_ablations_are_classifiers(row):
    with torch.device('meta'):
        _, model = build(f'ablations/{ABLATIONS[row].in_configs}')
        logits = model(torch.empty(1, 3, 224, 224))
    assert logits.shape == (1, 1000)
    if row in TABLES[5].rows:
        millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
        assert round(millions, 1) == TABLES[5].rows[row][0]


def test_loss_of_mixed_images_is_that_of_smoothed_and_mixed_targets():
    """timm smooths the labels and mixes them; mmpretrain mixes and smooths: the same targets."""
    _, model = build()
    logits, share, smoothing = torch.randn(2, 1000), 0.3, 0.1
    labels = torch.tensor([3, 7])
    one_hot = torch.nn.functional.one_hot(labels, 1000).float()
    mixed = share * one_hot + (1 - share) * one_hot.flip(0)

    smooth = torch.full((2, 1000), smoothing / 1000)
    smooth[[0, 1], labels] = 1 - smoothing + smoothing / 1000
    targets = share * smooth + (1 - share) * smooth.flip(0)
    expected = -(targets * logits.log_softmax(1)).sum(1).mean()
    loss = model.head.loss_module(logits, mixed, avg_factor=2)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_each_batch_is_mixed_or_cut_with_equal_probability():
    _, model = build()
    augments = model.data_preprocessor.batch_augments
    assert [(type(one).__name__, one.alpha) for one in augments.augments] == [
        ('Mixup', 0.8),
        ('CutMix', 1.0),
    ]
    assert augments.probs is None  # equal


def test_training_pipeline_makes_images_of_the_models_size(tmp_path):
    from mmpretrain.registry import DATASETS

    root = make_toy_data(tmp_path / 'toy')
    loader = Config.fromfile(CONFIGS / f'{NAME}.py').train_dataloader
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        dataset = DATASETS.build(dict(loader.dataset, data_root=str(root / 'imagenet')))
        np.random.seed(0)
        for index in range(8):
            item = dataset[index]
            assert (item['inputs'].shape, item['inputs'].dtype) == ((3, 224, 224), torch.uint8)
            assert item['data_samples'].gt_label.item() in (0, 1, 2)
    assert len(dataset) == 600


def test_deployed_classifier_answers_as_the_model_does(tiny_config, save_model, tmp_path):
    from twins_mm.checkpoints.load_model import load_model
    from twins_mm.export.comparison import find_test_size
    from twins_mm.export.make_deployable import make_deployable
    from twins_mm.export.metadata import describe_export

    cfg = Config.fromfile(tiny_config(NAME))
    save_model(cfg.filename, tmp_path / 'model.pth')
    model = load_model(cfg, str(tmp_path / 'model.pth'))
    deployable = make_deployable(model)
    about = describe_export(deployable)
    assert (about['resize'], about['crop']) == ('{"scale": 256}', '224')
    assert find_test_size(cfg, np.zeros((480, 640, 3), np.uint8)) == (224, 224)
    images = torch.randint(0, 256, (2, 3, 96, 64), dtype=torch.uint8)
    with torch.no_grad():
        (expected,) = deployable.expected(model, images)
        found = deployable(images)
    assert expected.shape == (2, 1000) and expected.std() > 0
    torch.testing.assert_close(found, expected)


def test_page_lists_the_most_likely_classes(tiny_config, save_model, tmp_path):
    from twins_mm.demo.shown_model import ShownModel

    config = tiny_config(NAME)
    save_model(config, tmp_path / 'model.pth')
    image = np.random.default_rng(0).integers(0, 255, (60, 90, 3), np.uint8)
    view = ShownModel(load_config(str(config)), str(tmp_path / 'model.pth')).look_at(
        Frame(PurePath('x.jpg'), image)
    )
    found = view.find(1)
    likely = json.loads(view.file.read_text())['images'][0]['classes']
    assert [(one.name, one.score) for one in found] == [
        (one['name'], pytest.approx(one['score'])) for one in likely
    ]
    assert len(found) == 5
    assert view.describe(1).startswith(found[0].name)
    assert not np.array_equal(view.draw(1), image[..., ::-1])  # their names are on it


def test_timms_own_scheduler_has_the_same_learning_rates():
    from mmengine.registry import PARAM_SCHEDULERS
    from timm.scheduler import CosineLRScheduler

    cfg = Config.fromfile(CONFIGS / 'released/twins_svt_l_released.py')
    ours, theirs = (torch.optim.SGD([torch.zeros(1)], 1e-3) for _ in range(2))
    our_scheduler = PARAM_SCHEDULERS.build(dict(cfg.param_scheduler[0], optimizer=ours))
    their_scheduler = CosineLRScheduler(
        theirs, t_initial=300, lr_min=1e-5, warmup_lr_init=1e-6, warmup_t=20
    )
    ours.step()  # otherwise ours warns about the order
    for epoch in range(300):
        assert abs(ours.param_groups[0]['lr'] - theirs.param_groups[0]['lr']) < 1e-12, epoch
        our_scheduler.step()
        their_scheduler.step(epoch)  # as the released code calls it


def test_swin_with_cpvt_is_a_classifier():
    """Its own norm, the mean over the map and a linear layer: 28 million parameters in Table 1."""
    _, model = build('baselines/swin_t_cpvt')
    model.eval()
    with torch.no_grad():
        images = torch.rand(2, 3, 64, 96)
        (level,) = model.backbone(images)
        torch.testing.assert_close(model(images), model.head.fc(level.mean((2, 3))))
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(28.28, abs=0.01)
