"""The accuracies that the paper prints, as its Tables 2, 3, 4 and 8 stand."""
import re
from typing import NamedTuple

from .costs import TABLES as MODEL_ZOO

OURS = 'Twins-'


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        head: What it is headed with; G is billions of FLOPs, M millions of parameters.
        configs: Pattern of the configs whose figures these are, with `{}` for the variant.
        figure: 'flops', 'params', or the name of the metric in a run's log.
        tta: The metric is that of multi-scale testing.
    """

    head: str
    configs: str
    figure: str
    tta: bool = False


class Table(NamedTuple):
    """A table of the paper: by backbone, a figure or None for each column."""

    title: str
    columns: tuple[Column, ...]
    rows: dict[str, list[float | None]]


def variant_of(name: str) -> str | None:
    """'svt_s' of a config's name or of a backbone's as the paper writes it, if it is a Twins."""
    found = re.search('twins_((pcpvt|svt)_[sbl])', name.lower().replace('-', '_'))
    return found and found[1]


def figures_of(config: str) -> dict[tuple[str, bool], float]:
    """The paper's accuracies of a config: `{(metric, tta): percent}`, empty if it prints none."""
    return {(column.figure, column.tta): value
            for table in TABLES for backbone, values in table.rows.items()
            for column, value in zip(table.columns, values)
            if value and is_accuracy(column) and config_of(column, backbone) == config}


def config_of(column: Column, backbone: str) -> str | None:
    """The name of the config that a cell's figure is of; None for other people's backbones."""
    variant = variant_of(backbone)
    return variant and column.configs.format(variant)


def is_accuracy(column: Column) -> bool:
    """Whether a column is of what a run gives, not of what a model costs."""
    return column.figure not in ('flops', 'params')


def _read(title: str, columns: list[Column], text: str) -> Table:
    """Reads rows of a backbone and its figures; '-' is not in the paper, '.' in `model_zoo`."""
    rows = {}
    for line in text.strip().splitlines():
        backbone, *cells = re.split(' +', line)
        rows[backbone.replace('_', ' ')] = [
            None if cell == '-' else _look_up(column, backbone) if cell == '.' else float(cell)
            for column, cell in zip(columns, cells, strict=True)]
    return Table(title, tuple(columns), rows)


def _look_up(column: Column, backbone: str) -> float | None:
    variant = variant_of(backbone)
    model = column.configs.partition('_twins_')[0]
    return next(getattr(table.paper[variant], column.figure) for table in MODEL_ZOO
                if table.configs.startswith(model) and variant in table.paper)


def _boxes(configs: str, *suffixes: str) -> list[Column]:
    return [Column(f'{_schedule(configs)} AP{suffix.strip("_").upper()}', configs,
                   f'coco/bbox_mAP{suffix}') for suffix in suffixes]


def _boxes_and_masks(configs: str) -> list[Column]:
    return [Column(f'{_schedule(configs)} AP{kind}{suffix.strip("_")}', configs,
                   f'coco/{metric}_mAP{suffix}')
            for kind, metric in (('b', 'bbox'), ('m', 'segm')) for suffix in ('', '_50', '_75')]


def _schedule(configs: str) -> str:
    return configs.rpartition('_')[2]


_SEMANTIC_FPN, _UPERNET = 'semantic_fpn_twins_{}_80k', 'upernet_twins_{}_160k'
_RETINANET, _MASK_RCNN = 'retinanet_twins_{}_', 'mask_rcnn_twins_{}_'
_ALL_SIZES = ('', '_50', '_75', '_s', '_m', '_l')

TABLES = (
    _read('Table 2: ADE20K validation; Semantic FPN 80k, UperNet 160k; MS: multi-scale testing', [
        Column('FPN G', _SEMANTIC_FPN, 'flops'), Column('FPN M', _SEMANTIC_FPN, 'params'),
        Column('FPN mIoU', _SEMANTIC_FPN, 'mIoU'),
        Column('UperNet G', _UPERNET, 'flops'), Column('UperNet M', _UPERNET, 'params'),
        Column('UperNet mIoU', _UPERNET, 'mIoU'),
        Column('UperNet MS mIoU', _UPERNET, 'mIoU', tta=True)], """
ResNet50 45 28.5 36.7 - - - -
PVT-Small 40 28.2 39.8 - - - -
Twins-PCPVT-S . . 44.3 . . 46.2 47.5
Swin-T 46 31.9 41.5 237 59.9 44.5 45.8
Twins-SVT-S . . 43.2 . . 46.2 47.1
ResNet101 66 47.5 38.8 258 86 - 44.9
PVT-Medium 55 48.0 41.6 - - - -
Twins-PCPVT-B . . 44.9 . . 47.1 48.4
Swin-S 70 53.2 45.2 261 81.3 47.6 49.5
Twins-SVT-B . . 45.3 . . 47.7 48.9
ResNeXt101-64x4d - 86.4 40.2 - - - -
PVT-Large 71 65.1 42.1 - - - -
Twins-PCPVT-L . . 46.4 . . 48.6 49.8
Swin-B 107 91.2 46.0 299 121 48.1 49.7
Twins-SVT-L . . 46.7 . . 48.8 50.2
SETR_T-Large,_PUP_and_MLA - 310 50.1 - 308 48.6 50.3
"""),
    _read('Table 3: COCO val2017, RetinaNet; 1x, then 3x with multi-scale training', [
        Column('G', _RETINANET, 'flops'), Column('M', _RETINANET, 'params'),
        *_boxes(_RETINANET + '1x', *_ALL_SIZES), *_boxes(_RETINANET + '3x', *_ALL_SIZES)], """
ResNet50 111 37.7 36.3 55.3 38.6 19.3 40.0 48.8 39.0 58.4 41.8 22.4 42.8 51.6
PVT-Small 118 34.2 40.4 61.3 43.0 25.0 42.9 55.7 42.2 62.7 45.0 26.2 45.2 57.2
Twins-PCPVT-S . . 43.0 64.1 46.0 27.5 46.3 57.3 45.2 66.5 48.6 30.0 48.8 58.9
Swin-T 118 38.5 41.5 62.1 44.2 25.1 44.9 55.5 43.9 64.8 47.1 28.4 47.2 57.8
Twins-SVT-S . . 43.0 64.2 46.3 28.0 46.4 57.5 45.6 67.1 48.6 29.8 49.3 60.0
ResNet101 149 56.7 38.5 57.8 41.2 21.4 42.6 51.1 40.9 60.1 44.0 23.7 45.0 53.8
ResNeXt101-32x4d 151 56.4 39.9 59.6 42.7 22.3 44.2 52.5 41.4 61.0 44.3 23.9 45.5 53.7
PVT-Medium 151 53.9 41.9 63.1 44.3 25.0 44.9 57.6 43.2 63.8 46.1 27.3 46.3 58.9
Twins-PCPVT-B . . 44.3 65.6 47.3 27.9 47.9 59.6 46.4 67.7 49.8 31.3 50.2 61.4
Swin-S 162 59.8 44.5 65.7 47.5 27.4 48.0 59.9 46.3 67.4 49.8 31.1 50.3 60.9
Twins-SVT-B . . 45.3 66.7 48.1 28.5 48.9 60.6 46.9 68.0 50.2 31.7 50.3 61.8
"""),
    _read('Table 4: COCO val2017, Mask R-CNN; 1x, then 3x with multi-scale training', [
        Column('G', _MASK_RCNN, 'flops'), Column('M', _MASK_RCNN, 'params'),
        *_boxes_and_masks(_MASK_RCNN + '1x'), *_boxes_and_masks(_MASK_RCNN + '3x')], """
ResNet50 174 44.2 38.0 58.6 41.4 34.4 55.1 36.7 41.0 61.7 44.9 37.1 58.4 40.1
PVT-Small 178 44.1 40.4 62.9 43.8 37.8 60.1 40.3 43.0 65.3 46.9 39.9 62.5 42.8
Twins-PCPVT-S . . 42.9 65.8 47.1 40.0 62.7 42.9 46.8 69.3 51.8 42.6 66.3 46.0
Swin-T 177 47.8 42.2 64.6 46.2 39.1 61.6 42.0 46.0 68.2 50.2 41.6 65.1 44.8
Twins-SVT-S . . 43.4 66.0 47.3 40.3 63.2 43.4 46.8 69.2 51.2 42.6 66.3 45.8
ResNet101 210 63.2 40.4 61.1 44.2 36.4 57.7 38.8 42.8 63.2 47.1 38.5 60.1 41.3
ResNeXt101-32x4d 212 62.8 41.9 62.5 45.9 37.5 59.4 40.2 44.0 64.4 48.0 39.2 61.4 41.9
PVT-Medium 211 63.9 42.0 64.4 45.6 39.0 61.6 42.1 44.2 66.0 48.2 40.5 63.1 43.5
Twins-PCPVT-B . . 44.6 66.7 48.9 40.9 63.8 44.2 47.9 70.1 52.5 43.2 67.2 46.3
Swin-S 222 69.1 44.8 66.6 48.9 40.9 63.4 44.2 47.6 69.4 52.5 42.8 66.5 46.4
Twins-SVT-B . . 45.2 67.6 49.3 41.5 64.5 44.8 48.0 69.5 52.7 43.0 66.8 46.6
"""),
    _read('Table 8: COCO val2017, large models, 1x; RetinaNet, then Mask R-CNN', [
        Column('RetinaNet M', _RETINANET, 'params'),
        *_boxes(_RETINANET + '1x', '', '_50', '_75'), Column('Mask R-CNN M', _MASK_RCNN, 'params'),
        Column('1x APb', _MASK_RCNN + '1x', 'coco/bbox_mAP'),
        Column('1x APm', _MASK_RCNN + '1x', 'coco/segm_mAP')], """
ResNeXt101-64x4d 95.5 41.0 60.9 44.0 101.9 42.8 38.4
PVT-Large 71.1 42.6 63.7 45.4 81.0 42.9 39.5
Twins-PCPVT-L . 45.1 66.4 48.4 . 45.4 41.5
Swin-B 98.4 44.7 65.9 47.8 107.2 45.5 41.3
Twins-SVT-L . 45.7 67.1 49.2 . 45.9 41.6
"""),
)
