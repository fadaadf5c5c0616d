"""The tables against what else the paper prints: gains over ResNets, and costs."""
import pytest

from twins_mm.paper.figures import TABLES, figures_of, is_accuracy, variant_of

BOX, MASK = 'coco/bbox_mAP', 'coco/segm_mAP'


@pytest.mark.parametrize(('table', 'ours', 'baseline', 'gains'), [
    (0, 'Twins-PCPVT-S', 'ResNet50', {'FPN mIoU': 7.6}),
    (0, 'Twins-SVT-S', 'ResNet50', {'FPN mIoU': 6.5}),
    (0, 'Twins-PCPVT-B', 'ResNet101', {'FPN mIoU': 6.1}),
    (0, 'Twins-SVT-B', 'ResNet101', {'FPN mIoU': 6.5}),
    (0, 'Twins-PCPVT-L', 'ResNeXt101-64x4d', {'FPN mIoU': 6.2}),
    (0, 'Twins-SVT-L', 'ResNeXt101-64x4d', {'FPN mIoU': 6.5}),
    (1, 'Twins-PCPVT-S', 'ResNet50', {'1x AP': 6.7, '3x AP': 6.2}),
    (1, 'Twins-SVT-S', 'ResNet50', {'1x AP': 6.7, '3x AP': 6.6}),
    (1, 'Twins-PCPVT-B', 'ResNet101', {'1x AP': 5.8, '3x AP': 5.5}),
    (1, 'Twins-SVT-B', 'ResNet101', {'1x AP': 6.8, '3x AP': 6.0}),
    (2, 'Twins-PCPVT-S', 'ResNet50', {'1x APb': 4.9, '1x APm': 5.6, '3x APb': 5.8}),
    (2, 'Twins-SVT-S', 'ResNet50', {'1x APb': 5.4, '1x APm': 5.9, '3x APb': 5.8}),
    (3, 'Twins-PCPVT-L', 'ResNeXt101-64x4d', {'1x AP': 4.1, '1x APb': 2.6}),
    (3, 'Twins-SVT-L', 'ResNeXt101-64x4d', {'1x AP': 4.7, '1x APb': 3.1}),
])
def test_gains_that_the_paper_prints(table, ours, baseline, gains):
    heads = [column.head for column in TABLES[table].columns]
    rows = TABLES[table].rows
    for head, gain in gains.items():
        index = heads.index(head)
        assert rows[ours][index] - rows[baseline][index] == pytest.approx(gain), head


@pytest.mark.parametrize(('config', 'figures'), [
    ('upernet_twins_svt_l_160k', {('mIoU', False): 48.8, ('mIoU', True): 50.2}),
    ('semantic_fpn_twins_pcpvt_b_80k', {('mIoU', False): 44.9}),
    ('retinanet_twins_svt_l_1x', {(BOX, False): 45.7, (f'{BOX}_50', False): 67.1,
                                  (f'{BOX}_75', False): 49.2}),
    ('mask_rcnn_twins_pcpvt_l_1x', {(BOX, False): 45.4, (MASK, False): 41.5}),
    ('mask_rcnn_twins_svt_b_3x', {
        (BOX, False): 48.0, (f'{BOX}_50', False): 69.5, (f'{BOX}_75', False): 52.7,
        (MASK, False): 43.0, (f'{MASK}_50', False): 66.8, (f'{MASK}_75', False): 46.6}),
    ('retinanet_twins_svt_l_3x', {}), ('faster_rcnn', {})])
def test_figures_of_a_config(config, figures):
    assert figures_of(config) == figures


def test_small_objects_are_not_medium_ones():
    figures = figures_of('retinanet_twins_pcpvt_b_3x')
    assert [figures[f'{BOX}_{size}', False] for size in 'sml'] == [31.3, 50.2, 61.4]


def test_costs_of_ours_are_the_model_zoos():
    costs = {(index, backbone): [value for column, value in zip(table.columns, values)
                                 if not is_accuracy(column)]
             for index, table in enumerate(TABLES) for backbone, values in table.rows.items()
             if variant_of(backbone)}
    assert costs[0, 'Twins-SVT-S'] == [37, 28.3, 228, 54.4]
    assert costs[2, 'Twins-PCPVT-B'] == [211, 64.0]
    assert costs[3, 'Twins-SVT-L'] == [110.9, 119.7]
    assert all(all(row) for row in costs.values())
