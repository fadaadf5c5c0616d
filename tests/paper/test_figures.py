"""The tables against what else the paper prints: gains in them and in its text, and costs."""

import pytest

from twins_mm.checkpoints.heads import HEADS
from twins_mm.paper.figures import TABLES, figures_of

BOX, MASK = 'coco/bbox_mAP', 'coco/segm_mAP'


@pytest.mark.parametrize(
    ('number', 'ours', 'baseline', 'gains'),
    [
        # In the tables, after our figures.
        (1, 'Twins-PCPVT-S', 'DeiT-Small/16', {'top-1': 1.3}),
        (1, 'Twins-SVT-S', 'DeiT-Small/16', {'top-1': 1.8}),
        (1, 'Twins-PCPVT-B', 'T2T-ViT-19', {'top-1': 0.8}),
        (1, 'Twins-SVT-B', 'T2T-ViT-19', {'top-1': 1.3}),
        (1, 'Twins-PCPVT-L', 'ViT-Base/16', {'top-1': 5.2}),
        (1, 'Twins-SVT-L', 'ViT-Base/16', {'top-1': 5.8}),
        (2, 'Twins-PCPVT-S', 'ResNet50', {'FPN mIoU': 7.6}),
        (2, 'Twins-SVT-S', 'ResNet50', {'FPN mIoU': 6.5}),
        (2, 'Twins-PCPVT-B', 'ResNet101', {'FPN mIoU': 6.1}),
        (2, 'Twins-SVT-B', 'ResNet101', {'FPN mIoU': 6.5}),
        (2, 'Twins-PCPVT-L', 'ResNeXt101-64x4d', {'FPN mIoU': 6.2}),
        (2, 'Twins-SVT-L', 'ResNeXt101-64x4d', {'FPN mIoU': 6.5}),
        (3, 'Twins-PCPVT-S', 'ResNet50', {'1x AP': 6.7, '3x AP': 6.2}),
        (3, 'Twins-SVT-S', 'ResNet50', {'1x AP': 6.7, '3x AP': 6.6}),
        (3, 'Twins-PCPVT-B', 'ResNet101', {'1x AP': 5.8, '3x AP': 5.5}),
        (3, 'Twins-SVT-B', 'ResNet101', {'1x AP': 6.8, '3x AP': 6.0}),
        (4, 'Twins-PCPVT-S', 'ResNet50', {'1x APb': 4.9, '1x APm': 5.6, '3x APb': 5.8}),
        (4, 'Twins-SVT-S', 'ResNet50', {'1x APb': 5.4, '1x APm': 5.9, '3x APb': 5.8}),
        (4, 'Twins-PCPVT-B', 'ResNet101', {'1x APb': 4.2, '1x APm': 4.5, '3x APb': 5.1}),
        (4, 'Twins-SVT-B', 'ResNet101', {'1x APb': 4.8, '1x APm': 5.1, '3x APb': 5.2}),
        (8, 'Twins-PCPVT-L', 'ResNeXt101-64x4d', {'1x AP': 4.1, '1x APb': 2.6}),
        (8, 'Twins-SVT-L', 'ResNeXt101-64x4d', {'1x AP': 4.7, '1x APb': 3.1}),
        # In the text of sections 4.1 to 4.4.
        (5, '(L, L, L, G)', '(L, L, L)', {'top-1': 3.6}),
        (1, 'Twins-PCPVT-S', 'PVT-Small', {'top-1': 1.4}),
        (2, 'Twins-PCPVT-S', 'PVT-Small', {'FPN mIoU': 4.5}),
        (2, 'Twins-PCPVT-B', 'PVT-Medium', {'FPN mIoU': 3.3}),
        (2, 'Twins-PCPVT-L', 'PVT-Large', {'FPN mIoU': 4.3}),
        (2, 'Twins-SVT-S', 'Swin-T', {'FPN mIoU': 1.7, 'UperNet MS mIoU': 1.3}),
        (2, 'Twins-SVT-L', 'Swin-B', {'FPN mIoU': 0.7, 'UperNet MS mIoU': 0.5}),
        (3, 'Twins-PCPVT-S', 'PVT-Small', {'1x AP': 2.6}),
        (3, 'Twins-PCPVT-B', 'PVT-Medium', {'1x AP': 2.4}),
        (3, 'Twins-SVT-S', 'Swin-T', {'1x AP': 1.5}),
        (4, 'Twins-PCPVT-S', 'PVT-Small', {'1x APb': 2.5}),
        (4, 'Twins-PCPVT-B', 'PVT-Medium', {'1x APb': 2.6}),
    ],
)
def test_gains_that_the_paper_prints(number, ours, baseline, gains):
    _, columns, rows = TABLES[number]
    found = {
        column.head: mine - theirs
        for column, mine, theirs in zip(columns, rows[ours], rows[baseline])
        if column.head in gains
    }
    assert found == pytest.approx(gains)


def test_every_row_has_a_cell_for_each_column():
    assert {number: len(table.rows) for number, table in TABLES.items()} == {
        1: 35,
        2: 16,
        3: 11,
        4: 11,
        5: 5,
        6: 3,
        7: 2,
        8: 5,
        'I': 3,
        'II': 7,
    }
    for table in TABLES.values():
        for backbone, values in table.rows.items():
            assert len(values) == len(table.columns), backbone
            assert not backbone.split()[-1].replace('.', '').isdigit(), 'a figure too many'


def test_tables_agree_on_the_same_models():
    def figures(number, row):
        table = TABLES[number]
        return {column.head: value for column, value in zip(table.columns, table.rows[row])}

    accuracies = [
        figures(number, row)['top-1']
        for number, row in [(1, 'Twins-SVT-S'), (5, '(L, LG, LG, G)'), (6, '2D Conv.')]
    ]
    assert accuracies == [81.7] * 3
    assert figures(5, 'PVT-small (G, G, G, G)').items() <= figures(1, 'PVT-Small').items()
    assert [figures(5, '(L, L, L)')['top-1'], figures(5, '(L, LLG, LLG, G)')['top-1']] == [
        76.9,
        81.5,
    ]  # in the text of section 4.4
    swin = figures(7, 'Swin-T')
    for number, method, heads in (
        (3, 'RetinaNet', {'1x AP': 2, '1x AP50': 3, '1x AP75': 4}),
        (4, 'Mask R-CNN', {'1x APb': 7, '1x APb50': 8, '1x APb75': 9}),
    ):
        row = figures(number, 'Swin-T')
        assert row['M'] == swin[f'{method} M']
        assert [row[head] for head in heads] == [
            TABLES[7].rows['Swin-T'][column] for column in heads.values()
        ]


def test_figures_are_of_known_methods():
    methods = {column.method for table in TABLES.values() for column in table.columns}
    assert methods - {'', *(head.recipe for head in HEADS)} == set()


@pytest.mark.parametrize(
    ('config', 'figures'),
    [
        ('upernet_twins_svt_l_160k', {('mIoU', False): 48.8, ('mIoU', True): 50.2}),
        ('semantic_fpn_twins_pcpvt_b_80k', {('mIoU', False): 44.9}),
        (
            'retinanet_twins_svt_l_1x',
            {(BOX, False): 45.7, (f'{BOX}_50', False): 67.1, (f'{BOX}_75', False): 49.2},
        ),
        ('mask_rcnn_twins_pcpvt_l_1x', {(BOX, False): 45.4, (MASK, False): 41.5}),
        (
            'mask_rcnn_twins_svt_b_3x',
            {
                (BOX, False): 48.0,
                (f'{BOX}_50', False): 69.5,
                (f'{BOX}_75', False): 52.7,
                (MASK, False): 43.0,
                (f'{MASK}_50', False): 66.8,
                (f'{MASK}_75', False): 46.6,
            },
        ),
        (
            'retinanet_swin_t_cpvt_1x',
            {(BOX, False): 41.3, (f'{BOX}_50', False): 62.4, (f'{BOX}_75', False): 44.1},
        ),
        ('mask_rcnn_resnext_101_64x4d_1x', {(BOX, False): 42.8, (MASK, False): 38.4}),
        ('upernet_resnet_101_160k', {('mIoU', True): 44.9}),
        ('semantic_fpn_pvt_m_80k', {('mIoU', False): 41.6}),
        ('stvit_b', {('accuracy/top1', False): 84.8}),
        ('retinanet_twins_svt_l_3x', {}),
        ('faster_rcnn', {}),
    ],
)
def test_figures_of_a_config(config, figures):
    assert figures_of(config) == figures


def test_small_objects_are_not_medium_ones():
    figures = figures_of('retinanet_twins_pcpvt_b_3x')
    assert [figures[f'{BOX}_{size}', False] for size in 'sml'] == [31.3, 50.2, 61.4]


@pytest.mark.parametrize(
    ('number', 'backbone', 'costs'),
    [
        (1, 'Twins-SVT-S', [24, 2.9, 1059]),
        (1, 'Twins-PCPVT-L', [60.9, 9.8, 367]),
        (1, 'BossNet-T1', [None, 7.9, None]),
        (2, 'Twins-SVT-S', [37, 28.3, 228, 54.4]),
        (3, 'Twins-SVT-B', [163, 67.0]),
        (4, 'Twins-PCPVT-B', [211, 64.0]),
        (8, 'Twins-SVT-L', [110.9, 474, 119.7]),
        (8, 'Twins-PCPVT-L', [71.2, 364, 81.2]),
        (8, 'ResNeXt101-64x4d', [95.5, 493, 101.9]),
    ],
)
def test_costs(number, backbone, costs):
    table = TABLES[number]
    assert [
        value
        for column, value in zip(table.columns, table.rows[backbone])
        if column.figure in ('params', 'flops', 'throughput')
    ] == costs
