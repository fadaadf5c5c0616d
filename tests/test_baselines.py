"""The configs of the backbones that the paper's tables compare Twins with."""

import re
from copy import deepcopy
from functools import cache
from pathlib import Path

import mmdet
import mmengine
import mmseg
import pytest
import torch
from mmengine.config import Config

from twins_mm.config import walk
from twins_mm.paper.baselines import BASELINES
from twins_mm.paper.costs import build_on_meta
from twins_mm.paper.figures import TABLES, figures_of

CONFIGS = Path(__file__).parent.parent / 'configs'
# Accuracies that the paper prints, but for the classifiers of Table 1.
CELLS = sorted(
    {
        column.config_of(baseline)
        for number, table in TABLES.items()
        if number != 1
        for baseline, column, _ in table.list_baselines()
        if column.config_of(baseline)
    }
)
WHOLE = [
    'retinanet_swin_t_cpvt_1x',
    'mask_rcnn_swin_s_3x',
    'semantic_fpn_pvt_l_80k',
    'semantic_fpn_resnext_101_64x4d_80k',
    'upernet_resnet_101_160k',
    'mask_rcnn_resnet_50_1x',
]
# Of backbones that differ in depth, one is tested.
ALIKE = {'resnet_101', 'resnext_101_32x4d', 'pvt_m', 'pvt_l', 'swin_s', 'swin_b'}


def baseline_in(name):
    return max((baseline for baseline in BASELINES if baseline in name), key=len)


def one_of_each(names):
    return [
        pytest.param(name, marks=pytest.mark.large) if baseline_in(name) in ALIKE else name
        for name in names
    ]


def read(name):
    return Config.fromfile(CONFIGS / f'baselines/{name}.py')


@cache
def read_twins(name):
    return Config.fromfile(CONFIGS / f'{name}.py')


def test_files_are_the_cells_of_the_tables():
    assert len(CELLS) >= 49
    assert {path.stem for path in CONFIGS.glob('baselines/*.py')} == {*CELLS, 'swin_t_cpvt'}


@pytest.mark.parametrize('name', one_of_each(CELLS))
def test_all_but_the_backbone_is_the_recipe_of_twins(name):
    baseline = baseline_in(name)
    cfg, twins = read(name), deepcopy(read_twins(name.replace(baseline, 'twins_svt_s')))
    assert set(cfg) - set(twins) <= {'segmentor_backbone', 'no_decay_of_positions'}
    # Recipes that exempt position encodings from weight decay know those of Twins.
    keys = (cfg.optim_wrapper.get('paramwise_cfg') or {}).get('custom_keys', {})
    positions = dict(swin='relative_position_bias_table', pvt='pos_embed').get(baseline[:-2])
    if keys and positions:
        assert keys.pop(positions) == dict(decay_mult=0.0)
    assert positions not in keys
    drop_path = 0.4 if name in ('semantic_fpn_swin_b_80k', 'semantic_fpn_pvt_l_80k') else 0.2
    assert cfg.model.backbone.get('drop_path_rate') == (
        None if baseline.startswith('resn') else drop_path
    )
    for node in (cfg, twins):
        for key in ('backbone', 'channels', 'segmentor_backbone', 'no_decay_of_positions'):
            node.pop(key, None)
        for part in walk(node.model):
            for key in ('backbone', 'in_channels'):
                part.pop(key, None)
    assert cfg.to_dict() == twins.to_dict()


@pytest.mark.parametrize('name', WHOLE)
def test_builds_and_channels_fit(name):
    cfg = read(name)
    model = build_on_meta(cfg.model, cfg.default_scope)
    maps = model.extract_feat(torch.empty(1, 3, 64, 96, device='meta'))
    assert [level.shape[1] for level in maps] == (
        cfg.channels if name.startswith('upernet') else [256] * len(maps)
    )


@pytest.fixture(scope='module')
def shipped():
    """All of mmdet's and mmseg's own configs as one text."""
    text = '\n'.join(
        path.read_text()
        for library in (mmdet, mmseg)
        for path in Path(library.__file__).parent.glob('.mim/configs/*/*.py')
    )
    return re.sub(r"'\s+'", '', text)  # some addresses are written as two strings


@pytest.mark.parametrize('baseline', one_of_each(BASELINES))
def test_backbones_are_the_libraries_own(baseline, shipped):
    """Their channels, and the weights that the libraries' own configs start from.

    timm's weights are in place of those that are gone; `tests/peers` shows that all of them fit.
    """
    cfg = Config.fromfile(CONFIGS / f'_base_/backbones/{baseline}.py')
    known = mmengine.load(Path(mmengine.__file__).parent / 'hub/torchvision_0.12.json')
    backbones = [cfg[key] for key in ('backbone', 'segmentor_backbone') if key in cfg]
    for backbone in backbones:
        weights = backbone.init_cfg.checkpoint
        assert backbone.init_cfg.type == 'Pretrained'
        names = [f'torchvision://{name}' for name, url in known.items() if url == weights]
        assert weights.startswith('hf://timm/') or any(
            f"'{name}'" in shipped for name in [weights, *names]
        ), weights
        built = build_on_meta(backbone, 'mmdet')
        maps = built(torch.empty(1, 3, 64, 64, device='meta'))
        assert [level.shape[1:] for level in maps] == [
            (width, 16 // 2**stage, 16 // 2**stage) for stage, width in enumerate(cfg.channels)
        ]


@pytest.mark.parametrize(('stem', 'millions'), [('DeepStemResNet', 86), ('mmseg.ResNet', 85)])
def test_papers_parameters_tell_the_stem_of_segmentors(stem, millions):
    """UperNet's. Semantic FPN's round to the paper's with both."""
    cfg = read('upernet_resnet_101_160k')
    assert cfg.model.backbone.type == 'DeepStemResNet'
    cfg.model.backbone.type = stem
    model = build_on_meta(cfg.model, cfg.default_scope)
    assert round(sum(value.numel() for value in model.parameters()) / 1e6) == millions
    (printed,) = (
        value
        for baseline, column, value in TABLES[2].list_baselines()
        if (baseline.name, column.method, column.figure) == ('resnet_101', 'upernet', 'params')
    )
    assert (printed == millions) == (stem == 'DeepStemResNet')


@pytest.mark.parametrize(
    'name', ['mask_rcnn_swin_s_3x', 'upernet_swin_b_160k', 'mask_rcnn_pvt_m_3x', 'swin_t_cpvt']
)
def test_weights_without_decay_exist(name):
    cfg = read(name)
    backbone = build_on_meta(cfg.model.backbone, 'mmdet')
    keys = set(cfg.optim_wrapper.paramwise_cfg.custom_keys)
    if name != 'swin_t_cpvt':
        keys.remove('pos_block')  # Twins'
    for key in keys:
        assert any(key in parameter for parameter, _ in backbone.named_parameters()), key


@pytest.mark.parametrize(
    ('name', 'theirs'),
    [
        ('retinanet_resnet_50_1x', 'r50-caffe'),
        ('retinanet_resnet_101_1x', 'r101'),
        ('retinanet_resnext_101_32x4d_1x', 'x101-32x4d'),
        ('retinanet_resnext_101_64x4d_1x', 'x101-64x4d'),
        ('mask_rcnn_resnet_50_1x', 'r50-caffe'),
        ('mask_rcnn_resnet_101_1x', 'r101-caffe'),
        ('mask_rcnn_resnext_101_32x4d_1x', 'x101-32x4d'),
        ('mask_rcnn_resnext_101_64x4d_1x', 'x101-64x4d'),
    ],
)
def test_figures_of_convolutional_detectors_are_mmdets(name, theirs):
    """As docs/reproduce.md says: so they come from other recipes than these configs."""
    method = 'mask_rcnn' if name.startswith('mask') else 'retinanet'
    models = mmengine.load(Path(mmdet.__file__).parent / f'.mim/configs/{method}/metafile.yml')[
        'Models'
    ]
    (model,) = (
        model
        for model in models
        if model['Name'] == f'{method.replace("_", "-")}_{theirs}_fpn_1x_coco'
    )
    for result in model['Results']:
        ((kind, value),) = result['Metrics'].items()
        objects = {'box AP': 'bbox', 'mask AP': 'segm'}[kind]
        assert figures_of(name)[f'coco/{objects}_mAP', False] == value
