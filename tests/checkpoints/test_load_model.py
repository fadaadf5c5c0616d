import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from twins_mm.checkpoints.load_model import find_dataset_meta, load_model
from twins_mm.errors import UserError


def test_weights_come_from_the_checkpoint(tiny_config, tmp_path):
    cfg = Config.fromfile(tiny_config('upernet_twins_svt_s_160k'))
    model = load_model(cfg, None)
    weights = model.state_dict()
    torch.save(
        dict(state_dict={f'module.{name}': value for name, value in weights.items()}),
        tmp_path / 'model.pth',
    )
    loaded = load_model(cfg, str(tmp_path / 'model.pth')).state_dict()
    assert loaded.keys() == weights.keys()
    assert all(torch.equal(loaded[name], value) for name, value in weights.items())


@pytest.mark.parametrize(
    ('part', 'message'),
    [
        ('retina_cls', 'does not match this config: 2 missing'),
        ('blocks.1.0.mlp.fc1', '2 missing, such as blocks.1.0.mlp.fc1.bias'),
    ],
)
def test_weights_that_do_not_fit_are_refused(part, message, tiny_config, tmp_path):
    cfg = Config.fromfile(tiny_config('retinanet_twins_svt_s_1x'))
    model = load_model(cfg, None)
    torch.save(
        {name: value for name, value in model.state_dict().items() if part not in name},
        tmp_path / 'model.pth',
    )
    with pytest.raises(UserError, match=message):
        load_model(cfg, str(tmp_path / 'model.pth'))


@pytest.mark.parametrize(
    ('meta', 'classes', 'palette'),
    [
        (
            dict(dataset_meta=dict(classes=('a', 'b'), palette=[(1, 1, 1), (2, 2, 2)])),
            ('a', 'b'),
            [(1, 1, 1), (2, 2, 2)],
        ),
        (dict(dataset_meta=dict(CLASSES=('a', 'b'))), ('a', 'b'), None),
        (dict(CLASSES=('a', 'b'), PALETTE=None), ('a', 'b'), None),
        (None, ('wall', 'building'), [[120, 120, 120], [180, 120, 120]]),
        (dict(CLASSES=('a', 'b', 'c')), ('wall', 'building'), [[120, 120, 120], [180, 120, 120]]),
    ],
)
def test_names_and_colours_of_checkpoint_or_config(meta, classes, palette, tiny_config):
    cfg = Config.fromfile(tiny_config('upernet_twins_svt_s_160k'))
    cfg.merge_from_dict(
        {
            'model.decode_head.num_classes': 2,
            'model.auxiliary_head.num_classes': 2,
            'test_dataloader.dataset.metainfo': dict(classes=('wall', 'building')),
        }
    )
    cfg.test_dataloader.dataset = dict(
        type='RepeatDataset', times=1, dataset=cfg.test_dataloader.dataset
    )
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
