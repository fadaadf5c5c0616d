from pathlib import Path

import pytest
from mmengine.config import Config

from twins_mm.config import batch_size
from twins_mm.data.data_sets import DATA_SETS
from twins_mm.errors import UserError
from twins_mm.toy import config as toy
from twins_mm.toy.data import TOY_VERSIONS

CONFIGS = Path(__file__).parent.parent.parent / 'configs'
REPLACED = {
    'train_dataloader',
    'val_dataloader',
    'test_dataloader',
    'val_evaluator',
    'test_evaluator',
    'train_cfg',
    'val_cfg',
    'test_cfg',
    'param_scheduler',
    'optim_wrapper',
    'auto_scale_lr',
    'tta_pipeline',
    'default_hooks',
    'log_processor',
    'model',
    'load_from',
}


@pytest.fixture(autouse=True)
def no_data(monkeypatch, tmp_path):
    monkeypatch.setattr(toy, 'make_toy_data', lambda: tmp_path)


def read(name, **changes):
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    cfg.merge_from_dict(changes)
    return cfg


@pytest.mark.parametrize(
    'name',
    [
        'retinanet_twins_svt_s_3x',
        'released/mask_rcnn_twins_pcpvt_b_3x_released',
        'semantic_fpn_twins_svt_l_80k',
        'upernet_twins_pcpvt_s_160k',
        'segformer/segformer_twins_svt_s_160k_cityscapes',
    ],
)
def test_model_and_other_settings_do_not_change(name):
    before, cfg = read(name), read(name)
    toy.use_toy_data(cfg)
    assert {key for key in cfg if cfg[key] != before.get(key)} <= REPLACED
    assert cfg.model.backbone.init_cfg is None
    cfg.model.backbone.init_cfg = before.model.backbone.init_cfg
    if 'size' in before.model.data_preprocessor:
        assert cfg.model.data_preprocessor.pop('size') == (128, 128)
        assert cfg.model.data_preprocessor.pop('size_divisor') is None
        before.model.data_preprocessor.pop('size')
    assert cfg.model == before.model
    assert cfg.optim_wrapper.type == before.optim_wrapper.type
    assert cfg.optim_wrapper.get('paramwise_cfg') == before.optim_wrapper.get('paramwise_cfg')


@pytest.mark.parametrize(
    ('name', 'key', 'drawn', 'all_classes'),
    [
        (
            'retinanet_twins_svt_s_1x',
            'model.bbox_head.num_classes',
            TOY_VERSIONS['coco'].classes,
            80,
        ),
        (
            'semantic_fpn_twins_svt_s_80k',
            'model.decode_head.num_classes',
            TOY_VERSIONS['ade20k'].classes,
            150,
        ),
        (
            'segformer/segformer_twins_svt_s_160k_cityscapes',
            'model.decode_head.num_classes',
            TOY_VERSIONS['cityscapes'].classes,
            19,
        ),
    ],
)
def test_number_of_classes_matches_the_model(name, key, drawn, all_classes):
    for count in (1, 2, 18, all_classes):
        cfg = read(name, **{key: count})
        toy.use_toy_data(cfg)
        classes = cfg.train_dataloader.dataset.metainfo.classes
        assert classes == cfg.val_dataloader.dataset.metainfo.classes
        assert len(classes) == len(set(classes)) == count
        assert classes[: len(drawn)] == drawn[:count] or count == all_classes
        assert set(drawn[:count]) <= set(classes)


@pytest.mark.parametrize('name', ['retinanet_twins_svt_s_1x', 'semantic_fpn_twins_svt_s_80k'])
def test_config_without_training_takes_toy_data(name):
    cfg = read(name, train_dataloader=None, optim_wrapper=None, default_hooks=None)
    toy.use_toy_data(cfg)
    assert cfg.train_dataloader.dataset.data_root == cfg.test_dataloader.dataset.data_root
    assert cfg.optim_wrapper.type == 'OptimWrapper'


@pytest.mark.parametrize(
    ('name', 'data'),
    [
        ('segformer/segformer_twins_svt_s_160k_cityscapes', 'cityscapes'),
        ('segformer/segformer_twins_svt_s_160k_ade20k', 'ade20k'),
        ('retinanet_twins_svt_s_1x', 'coco'),
    ],
)
def test_stand_in_is_of_the_data_set_that_is_trained_on(name, data):
    cfg = read(name)
    toy.use_toy_data(cfg)
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        assert (loader.dataset.type, loader.dataset.data_root) == (
            DATA_SETS[data].type,
            str(DATA_SETS[data].toy_folder),
        )


def test_stand_in_is_of_the_task_where_the_name_is_another_librarys():
    """mmdet has a CityscapesDataset too, of boxes."""
    cfg = read('retinanet_twins_svt_s_1x', **{'train_dataloader.dataset.type': 'CityscapesDataset'})
    cfg.test_dataloader = None
    toy.use_toy_data(cfg)
    assert cfg.train_dataloader.dataset.type == 'CocoDataset'


def test_toy_batch_is_not_accumulated():
    cfg = read('retinanet_twins_svt_s_1x', **{'optim_wrapper.accumulative_counts': 8})
    toy.use_toy_data(cfg)
    assert batch_size(cfg, 1) == cfg.auto_scale_lr.base_batch_size


def test_other_scopes_are_refused():
    with pytest.raises(UserError, match="this config has default_scope = 'mmpose'"):
        toy.use_toy_data(Config(dict(default_scope='mmpose', model={})))
