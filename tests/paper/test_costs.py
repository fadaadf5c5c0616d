"""What the model zoo counts is what others counted, and what the paper prints."""

import re
from pathlib import Path

import mmengine
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from torch import nn

from twins_mm.files.shipped import list_configs
from twins_mm.models.backbone import FAMILIES
from twins_mm.paper.costs import (
    BASELINE_COUNTINGS,
    COUNTINGS,
    Counting,
    count_baselines,
    count_costs,
)
from twins_mm.paper.figures import TABLES
from twins_mm.paper.flops import count_macs
from twins_mm.paper.metafiles import list_metafiles, write_metafiles

CONFIGS = Path(__file__).parent.parent.parent / 'configs'

# Counted independently of this package, with the paper's conventions, in millions and billions.
# The classifiers' parameters are those in the authors' logs. A '*' stands for the schedules.
COUNTED = {
    'pcpvt_s': (24.106216, 3.81),
    'pcpvt_b': (43.828456, 6.65),
    'pcpvt_l': (60.989672, 9.81),
    'svt_s': (24.060776, 2.93),
    'svt_b': (56.070952, 8.56),
    'svt_l': (99.271400, 15.11),
    'svt_s: (L, LG, LG, G)': (24.060776, 2.81),
    'svt_s_lll: (L, L, L)': (8.824360, 2.22),
    'svt_s_llg: (L, LLG, LLG, G)': (23.534952, 2.82),
    'svt_s_lllg: (L, L, L, G)': (22.221352, 2.87),
    'svt_s: 2D Conv.': (24.060776, 2.81),
    'svt_s_separable_convolution: 2D Separable Conv.': (22.586664, 2.74),
    'svt_s_average_pooling: Average Pooling': (22.224296, 2.72),
    'retinanet_twins_pcpvt_s_*': (34.36, 117.8),
    'retinanet_twins_pcpvt_b_*': (54.08, 150.2),
    'retinanet_twins_pcpvt_l_*': (71.24, None),
    'retinanet_twins_svt_s_*': (34.30, 103.6),
    'retinanet_twins_svt_b_*': (67.01, 163.0),
    'retinanet_twins_svt_l_*': (110.92, None),
    'mask_rcnn_twins_pcpvt_s_*': (44.27, 177.9),
    'mask_rcnn_twins_pcpvt_b_*': (64.00, 210.3),
    'mask_rcnn_twins_svt_s_*': (44.21, 163.7),
    'mask_rcnn_twins_svt_b_*': (76.35, 223.4),
    'mask_rcnn_twins_pcpvt_l_*': (81.16, 363.9),
    'mask_rcnn_twins_svt_l_*': (119.67, None),
    'semantic_fpn_twins_pcpvt_s_*': (28.37, 40.6),
    'semantic_fpn_twins_pcpvt_b_*': (48.10, 55.1),
    'semantic_fpn_twins_pcpvt_l_*': (65.26, 71.1),
    'semantic_fpn_twins_svt_s_*': (28.31, 36.6),
    'semantic_fpn_twins_svt_b_*': (60.45, 66.5),
    'semantic_fpn_twins_svt_l_*': (103.77, 101.5),
    'upernet_twins_pcpvt_s_*': (54.59, 234.5),
    'upernet_twins_pcpvt_b_*': (74.32, 250.9),
    'upernet_twins_pcpvt_l_*': (91.48, 269.5),
    'upernet_twins_svt_s_*': (54.37, 228.4),
    'upernet_twins_svt_b_*': (88.49, 260.9),
    'upernet_twins_svt_l_*': (133.81, 298.1),
    'segformer_twins_pcpvt_s_160k_ade20k': (24.671614, 28.49),
    'segformer_twins_pcpvt_b_160k_ade20k': (44.393854, 44.97),
    'segformer_twins_pcpvt_l_160k_ade20k': (61.555070, 63.55),
    'segformer_twins_svt_s_160k_ade20k': (24.611710, 22.63),
    'segformer_twins_svt_b_160k_ade20k': (56.745726, 54.30),
    'segformer_twins_svt_l_160k_ade20k': (100.070014, 90.61),
    'segformer_twins_pcpvt_s_160k_cityscapes': (24.637947, 63.67),
    'segformer_twins_pcpvt_b_160k_cityscapes': (44.360187, 100.66),
    'segformer_twins_pcpvt_l_160k_cityscapes': (61.521403, 142.97),
    'segformer_twins_svt_s_160k_cityscapes': (24.578043, 47.08),
    'segformer_twins_svt_b_160k_cityscapes': (56.712059, 113.36),
    'segformer_twins_svt_l_160k_cityscapes': (100.036347, 187.81),
    # STViT: parameters of the released code, its textbook form and mmdet's and mmseg's heads.
    'stvit_s': (25.496, None),
    'stvit_b': (51.691, None),
    'stvit_l': (94.971, None),
    # The supplement's, as is its FLOPs' last digit, see below.
    'stvit_s_isotropic: STViT 64-512': (24.132, None),
    'mask_rcnn_stvit_s_*': (44.11, None),
    'mask_rcnn_stvit_b_*': (70.35, None),
    'mask_rcnn_stvit_l_*': (113.55, None),
    'cascade_mask_rcnn_stvit_s_*': (81.95, None),
    'cascade_mask_rcnn_stvit_b_*': (108.18, None),
    'cascade_mask_rcnn_stvit_l_*': (151.38, None),
    'upernet_stvit_s_*': (54.43, None),
    'upernet_stvit_b_*': (80.86, None),
    'upernet_stvit_l_*': (125.04, None),
}


# What may differ between the paper's config and the released code's, and costs nothing.
FREE = {'window_padding', 'drop_path_rate'}


@pytest.fixture(scope='module')
def costs():
    """All models' costs, by names like those of `COUNTED`."""
    return {
        re.sub(r'^((?!segformer)\w+_(?:twins|stvit)_.*_).*', r'\1*', cost.name): cost
        for counting in COUNTINGS
        for cost in count_costs(counting, CONFIGS)
    }


@pytest.fixture(scope='module')
def baseline_costs():
    return {
        f'{counting.title}: {cost.name}': cost
        for counting in BASELINE_COUNTINGS
        for cost in count_baselines(counting, CONFIGS)
    }


def test_every_cost_that_the_paper_prints_of_ours_is_read_once():
    read = [
        value
        for counting in COUNTINGS
        for paper in counting.paper.values()
        for value in paper.values()
    ]
    printed = [
        value
        for table in TABLES.values()
        for _, column, value in table.list_ours()
        if column.figure in ('params', 'flops')
    ]
    assert sorted(read) == sorted(printed)
    assert all(
        ('params' in paper) == (counting.tables != (6,))
        for counting in COUNTINGS
        for paper in counting.paper.values()
    )


def test_counts_are_the_independent_ones(costs):
    assert [name for name in costs if name in COUNTED] == list(COUNTED)
    for name, (params, flops) in COUNTED.items():
        digits = 0.006 if '*' in name or 'stvit' in name else 1e-9
        assert costs[name].counted_params / 1e6 == pytest.approx(params, abs=digits), name
        assert flops is None or costs[name].counted_macs / 1e9 == pytest.approx(
            flops, abs=0.06 if '*' in name else 0.006
        ), name


def test_notes_are_where_the_paper_is_more_than_a_percent_away(costs):
    papers = {name: costs[name] for name in COUNTED}
    for name, cost in papers.items():
        off = max(abs(cost.params_off or 0), abs(cost.flops_off or 0)) > 0.01
        assert off == bool(cost.note), name
    # RetinaNet's large models, Table 6, the road-scene head, STViT's detectors and segmentors.
    assert sum(cost.flops_off is None for cost in papers.values()) == 2 + 3 + 12 + 9
    assert sum(cost.params_off is None for cost in papers.values()) == 3 + 12 + 9


SWIN_SHAPE = dict(embed_dims=(96, 192, 384, 768), depths=(2, 2, 6, 2), num_heads=(3, 6, 12, 24))


@pytest.mark.parametrize(
    ('name', 'arch', 'row'),
    [
        *((f'imagenet/stvit_{size}', {}, ('I', f'STViT-{size.upper()}')) for size in 'sbl'),
        ('ablations/stvit_s_isotropic', {}, ('II', 'STViT 64-512')),
        ('ablations/stvit_s_isotropic', SWIN_SHAPE, ('II', 'STViT 96-768 with RPE')),
    ],
)
def test_stvit_with_norms_is_the_supplements_to_its_last_digit(name, arch, row):
    """fvcore, which the released code uses, counts 5 for a value of LayerNorm, 2 of BatchNorm."""
    norms = []
    model = Config.fromfile(CONFIGS / f'{name}.py').model
    if arch:
        named = FAMILIES['STViT'].find_arch(model.backbone.arch)
        model.backbone.arch = {**named, **arch}
        model.neck.in_channels = model.head.in_channels = arch['embed_dims'][-1]
    with torch.device('meta'):
        backbone, pooling = MODELS.build(model.backbone), MODELS.build(model.neck)
        classifier = nn.ModuleList(
            [backbone, pooling, nn.Linear(model.head.in_channels, 1000)]
        ).eval()
        for module in classifier.modules():
            if isinstance(module, (nn.LayerNorm, nn.BatchNorm2d)):
                weight = 5 if isinstance(module, nn.LayerNorm) else 2
                module.register_forward_hook(
                    lambda _, __, output, weight=weight: norms.append(weight * output.numel())
                )
        macs = count_macs(
            lambda images: classifier[2](*pooling(backbone(images))), torch.empty(1, 3, 224, 224)
        )
    params = sum(parameter.numel() for parameter in classifier.parameters())
    table, name = row
    assert TABLES[table].rows[name][:2] == [
        round(params / 1e6),
        round((macs.layers + macs.attention + sum(norms)) / 1e9, 1),
    ]


def test_note_on_the_padding_of_windows(costs):
    """Without it the paper's figure comes out: tokens of padding go through `qkv` alone."""
    cost = costs['mask_rcnn_twins_svt_l_*']
    padding = 0
    arch = FAMILIES['TwinsSVT'].archs['large']
    for stage, (dim, depth) in enumerate(zip(arch['embed_dims'], arch['depths'])):
        height, width = 1280 // (4 * 2**stage), 800 // (4 * 2**stage)
        padded_tokens = (height + -height % 7) * (width + -width % 7)
        padding += depth // 2 * (padded_tokens - height * width) * dim * 3 * dim
    assert f'{(cost.counted_macs - padding) / 1e9:.1f} ' in cost.note


@pytest.mark.parametrize('row', list(TABLES[5].rows)[:4])
def test_ablations_are_the_papers_to_its_last_digit(costs, row):
    """Table 5 counts no attention. The literal (L, LG, LG, G), for one, would be 23.8 M."""
    (cost,) = (cost for cost in costs.values() if cost.row == row)
    assert TABLES[5].rows[row][:2] == [
        round(cost.counted_params / 1e6, 1),
        round(cost.counted_macs / 1e9, 1),
    ]


def test_every_config_is_counted_and_has_its_model(costs, baseline_costs):
    counted = set()
    for name, cost in {**costs, **baseline_costs}.items():
        if cost.counting.method:
            stems = [path.stem for path in cost.configs]
            assert all(stem.removesuffix('_released').split('_')[-1] in cost.name for stem in stems)
            models = [Config.fromfile(path).model.to_dict() for path in cost.configs]
            for model in models:
                for key in FREE:
                    model['backbone'].pop(key, None)
            assert all(model == models[0] for model in models), name
        counted.update(cost.configs)
    assert counted == set(list_configs()), 'a method that no Counting of paper/costs.py has'


def test_metafiles_are_what_is_counted_now(costs, baseline_costs):
    root = CONFIGS.parent
    texts = list_metafiles([*costs.values(), *baseline_costs.values()], CONFIGS)
    assert texts == {path: path.read_text() for path in texts}
    assert set(texts) == {
        root / 'model-index.yml',
        *CONFIGS.rglob('metafile.yml'),
        *CONFIGS.rglob('README.md'),
    }
    folders = {path.parent for path in list_configs()}
    assert {path.parent for path in texts} == {root, *folders}
    assert sorted(mmengine.load(root / 'model-index.yml')['Import']) == sorted(
        str(path.relative_to(root)) for path in texts if path.name == 'metafile.yml'
    )


def test_readme_of_the_top_leads_to_every_folder():
    text = (CONFIGS / 'README.md').read_text()
    folders = {path.name for path in CONFIGS.iterdir() if path.is_dir()}
    assert folders == {name for name, link in re.findall(r'\| \[(\w+)\]\((\w+)\) \|', text)}
    for readme in CONFIGS.rglob('README.md'):
        links = re.findall(r'\]\(([^:)#]+)(?:#[^)]*)?\)', readme.read_text())
        assert all((readme.parent / link).exists() for link in links), readme
        assert len([link for link in links if link.endswith('.py')]) == len(
            list(readme.parent.glob('*.py'))
        )


def test_model_that_the_paper_lacks_is_counted_too(tmp_path, monkeypatch):
    """Without figures of the paper or a classifier's config, by its method's first counting."""
    monkeypatch.setattr(
        Counting,
        'paper',
        property(
            lambda counting: (
                {} if counting.title.endswith('Table 4') else {'svt_l': dict(params=119.7)}
            )
        ),
    )
    first, second, _ = (counting for counting in COUNTINGS if counting.method == 'mask_rcnn')
    assert first.variants == ['pcpvt_s', 'pcpvt_b', 'pcpvt_l', 'svt_s', 'svt_b']
    assert second.variants == ['svt_l']
    for name in ('_base_', 'mask_rcnn_twins_svt_s_1x.py'):
        (tmp_path / name).symlink_to(CONFIGS / name)
    (cost,) = count_costs(first, tmp_path)
    assert (cost.paper, cost.params_off, cost.flops_off) == ({}, None, None)
    assert cost.params == pytest.approx(43.70e6, abs=5e3)
    (tmp_path / 'README.md').write_text('# Configs\n\n')
    write_metafiles([cost], tmp_path)
    assert (tmp_path / 'README.md').read_text().startswith('# Configs\n\n<!-- Written by ')
    (model,) = mmengine.load(tmp_path / 'metafile.yml')['Models']
    assert set(model['Metadata']) == {'Parameters', 'FLOPs', 'Image Size of FLOPs'}


def test_metafiles_have_the_papers_figures_as_the_papers():
    models = {
        model['Name']: model
        for path in CONFIGS.rglob('metafile.yml')
        for model in mmengine.load(path)['Models']
    }
    assert {name: CONFIGS.parent / model['Config'] for name, model in models.items()} == {
        path.stem: path for path in list_configs()
    }
    assert not any('Weights' in model for model in models.values())
    mask_rcnn = models['mask_rcnn_twins_svt_s_3x']
    assert mask_rcnn['Metadata'] == {  # as in docs/model_zoo.md
        'Parameters': pytest.approx(43.70e6, abs=5e3),
        'FLOPs': pytest.approx(148.32e9, abs=5e6),
        'Image Size of FLOPs': '800 x 600',
        'Parameters in Paper (M)': 44.0,
        'FLOPs in Paper (G)': 164,
    }
    assert mask_rcnn['Results'] == [
        dict(Task='Object Detection', Dataset='COCO', Metrics={'box AP in Paper': 46.8}),
        dict(Task='Instance Segmentation', Dataset='COCO', Metrics={'mask AP in Paper': 42.6}),
    ]
    assert models['upernet_twins_svt_l_160k']['Results'] == [
        dict(
            Task='Semantic Segmentation',
            Dataset='ADE20K',
            Metrics={'mIoU in Paper': 48.8, 'mIoU(ms+flip) in Paper': 50.2},
        )
    ]
    assert models['retinanet_twins_svt_l_3x']['Results'] == []  # the paper has none
    released = models['mask_rcnn_twins_svt_s_3x_released']
    assert (released['Metadata'], released['Results']) == (
        mask_rcnn['Metadata'],
        mask_rcnn['Results'],
    )
    classifier = models['twins_svt_s']
    assert classifier['Metadata'] == {  # with its head
        'Parameters': 24_060_776,
        'FLOPs': pytest.approx(2.93e9, abs=5e6),
        'Image Size of FLOPs': '224 x 224',
        'Parameters in Paper (M)': 24,
        'FLOPs in Paper (G)': 2.9,
    }
    assert classifier['Results'] == [
        dict(Task='Image Classification', Dataset='ImageNet-1K', Metrics={'top-1 in Paper': 81.7})
    ]
    swin = models['retinanet_swin_t_1x']  # Table 3's, not Table 7's
    assert swin['Metadata']['Image Size of FLOPs'] == '800 x 600'
    assert swin['In Collection'] == 'RetinaNet with Swin'


def test_tool_prints_the_page(costs, call_tool, monkeypatch):
    monkeypatch.setattr(
        'twins_mm.paper.costs.count_costs',
        lambda counting, configs: [cost for cost in costs.values() if cost.counting is counting],
    )
    lines = call_tool('model_zoo', '--markdown').splitlines()
    cells = [
        [cell.strip() for cell in line.strip('|').split('|')]
        for line in lines
        if line.startswith('|')
    ]
    rows = {name: figures for name, *figures in cells}
    assert rows['retinanet_twins_svt_s_{1x,3x}'] == [
        '33.78',
        '34.30',
        '34.3',
        '-0.0%',
        '97.81',
        '5.79',
        '103.60',
        '104',
        '-0.4%',
        '',
    ]
    assert rows['semantic_fpn_twins_pcpvt_s_80k'] == [
        '27.86',
        '28.37',
        '28.4',
        '-0.1%',
        '40.60',
        '3.89',
        '40.60',
        '40',
        '+1.5%',
        '40.6 with its decimal cut off',
    ]
    assert sum('_twins_' in name for name in rows) == 24 + 12
    assert any(line.startswith('UperNet, Table 2') and '512 x 512' in line for line in lines)
    page = (CONFIGS.parent / 'docs/model_zoo.md').read_text()
    assert [line for line in lines if line.startswith('|') and line not in page] == []
