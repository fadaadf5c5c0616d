"""The figures that the papers print, as their tables stand."""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from ..files.shipped import paper_name
from ..models.variants import Variant
from .baselines import Baseline, backbone_of, baseline_of, our_backbone_of


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        head: What it is headed with; G is billions of FLOPs, M millions of parameters.
        method: What these are figures of: `Head.recipe`, or '' for ImageNet's classifiers.
        figure: 'flops', 'params', 'throughput', or the name of the metric in a run's log.
        schedule: What the names of the configs that give the figures end in.
        tta: The metric is that of multi-scale testing.
    """

    head: str
    method: str
    figure: str
    schedule: str = ''
    tta: bool = False

    def config_of(self, variant: Variant | Baseline) -> str:
        """The name of the config that gives the figure of a variant; '' if none does."""
        if self.figure in ('flops', 'params', 'throughput'):
            return ''
        return '_'.join(filter(None, (self.method, variant.in_configs, self.schedule)))


class PaperTable(NamedTuple):
    """A table of the paper: by backbone, a figure or None for each column."""

    title: str
    columns: tuple[Column, ...]
    rows: dict[str, list[float | None]]

    def list_ours(self) -> Iterator[tuple[Variant, Column, float]]:
        """The figures of our backbones."""
        return self._list(our_backbone_of)

    def list_baselines(self) -> Iterator[tuple[Baseline, Column, float]]:
        """The figures of the other backbones that have configs."""
        return self._list(baseline_of)

    def list_known(self) -> Iterator[tuple[Variant | Baseline, Column, float]]:
        """Both."""
        return self._list(backbone_of)

    def _list(self, find: Callable) -> Iterator[tuple]:
        for row, values in self.rows.items():
            if backbone := find(row):
                yield from (
                    (backbone, column, value)
                    for column, value in zip(self.columns, values)
                    if value is not None
                )


def figures_of(config: str) -> dict[tuple[str, bool], float]:
    """The paper's accuracies of a config: `{(metric, tta): percent}`, empty if it prints none.

    The released code's config has those of the paper's recipe.
    """
    return {
        (column.figure, column.tta): value
        for table in TABLES.values()
        for backbone, column, value in table.list_known()
        if column.config_of(backbone) == paper_name(config)
    }


def _read(title: str, columns: Iterable[Column], text: str) -> PaperTable:
    """Reads lines of a backbone and its figures; '-' is where the paper prints none."""
    columns, rows = tuple(columns), {}
    for line in text.strip().splitlines():
        backbone, *cells = line.rsplit(maxsplit=len(columns))
        # As JSON, a figure keeps the digits that the paper prints: 67.0 is not 67.
        rows[backbone] = [None if cell == '-' else json.loads(cell) for cell in cells]
    return PaperTable(title, columns, rows)


def _ap(method: str, schedule: str, heads: dict[str, str], *suffixes: str) -> list[Column]:
    return [
        Column(
            f'{schedule} {head}{suffix.strip("_").upper()}',
            method,
            f'coco/{objects}_mAP{suffix}',
            schedule,
        )
        for head, objects in heads.items()
        for suffix in suffixes
    ]


_BOXES, _BOXES_AND_MASKS = dict(AP='bbox'), dict(APb='bbox', APm='segm')
_IOUS = ('', '_50', '_75')
_IOUS_AND_SIZES = (*_IOUS, '_s', '_m', '_l')

# By number. Table 8 is Table 1 of the paper's separate supplement, which alone prints its FLOPs.
# Roman numbers are of STViT's supplement; I has the accuracies of its released code's page.
TABLES = {
    1: _read(
        'ImageNet-1K, 224 x 224',
        [
            Column('M', '', 'params'),
            Column('G', '', 'flops'),
            Column('images/s', '', 'throughput'),
            Column('top-1', '', 'accuracy/top1'),
        ],
        """
RegNetY-4G         21  4.0 1157 80.0
RegNetY-8G         39  8.0  592 81.7
RegNetY-16G        84 16.0  335 82.9
DeiT-Small/16    22.1  4.6  437 79.9
CrossViT-S       26.7  5.6    - 81.0
T2T-ViT-14         22  5.2    - 81.5
TNT-S            23.8  5.2    - 81.3
CoaT Mini          10  6.8    - 80.8
CoaT-Lite Small    20  4.0    - 81.9
PVT-Small        24.5  3.8  820 79.8
CPVT-Small-GAP     23  4.6  817 81.5
Twins-PCPVT-S    24.1  3.8  815 81.2
Swin-T             29  4.5  766 81.3
Swin-T + CPVT      28  4.4  766 81.2
Twins-SVT-S        24  2.9 1059 81.7
T2T-ViT-19       39.2  8.9    - 81.9
PVT-Medium       44.2  6.7  526 81.2
Twins-PCPVT-B    43.8  6.7  525 82.7
Swin-S             50  8.7  444 83.0
Twins-SVT-B        56  8.6  469 83.2
ViT-Base/16      86.6 17.6   86 77.9
DeiT-Base/16     86.6 17.6  292 81.8
T2T-ViT-24       64.1 14.1    - 82.3
CrossViT-B      104.7 21.2    - 82.2
TNT-B              66 14.1    - 82.8
CPVT-B             88 17.6  292 82.3
PVT-Large        61.4  9.8  367 81.7
Twins-PCPVT-L    60.9  9.8  367 83.1
Swin-B             88 15.4  275 83.3
Twins-SVT-L      99.2 15.1  288 83.7
BoTNet-S1-59     33.5  7.3    - 81.7
BossNet-T1          -  7.9    - 81.9
CvT-13             20  4.5    - 81.6
BoTNet-S1-110    54.7 10.9    - 82.8
CvT-21             32  7.1    - 82.5
""",
    ),
    2: _read(
        'ADE20K validation; Semantic FPN 80k, UperNet 160k; MS: multi-scale testing',
        [
            Column('FPN G', 'semantic_fpn', 'flops'),
            Column('FPN M', 'semantic_fpn', 'params'),
            Column('FPN mIoU', 'semantic_fpn', 'mIoU', '80k'),
            Column('UperNet G', 'upernet', 'flops'),
            Column('UperNet M', 'upernet', 'params'),
            Column('UperNet mIoU', 'upernet', 'mIoU', '160k'),
            Column('UperNet MS mIoU', 'upernet', 'mIoU', '160k', tta=True),
        ],
        """
ResNet50                   45  28.5 36.7   -    -    -    -
PVT-Small                  40  28.2 39.8   -    -    -    -
Twins-PCPVT-S              40  28.4 44.3 234 54.6 46.2 47.5
Swin-T                     46  31.9 41.5 237 59.9 44.5 45.8
Twins-SVT-S                37  28.3 43.2 228 54.4 46.2 47.1
ResNet101                  66  47.5 38.8 258   86    - 44.9
PVT-Medium                 55  48.0 41.6   -    -    -    -
Twins-PCPVT-B              55  48.1 44.9 250 74.3 47.1 48.4
Swin-S                     70  53.2 45.2 261 81.3 47.6 49.5
Twins-SVT-B                67  60.4 45.3 261 88.5 47.7 48.9
ResNeXt101-64x4d            -  86.4 40.2   -    -    -    -
PVT-Large                  71  65.1 42.1   -    -    -    -
Twins-PCPVT-L              71  65.3 46.4 269 91.5 48.6 49.8
Swin-B                    107  91.2 46.0 299  121 48.1 49.7
Twins-SVT-L               102 103.7 46.7 297  133 48.8 50.2
SETR T-Large, PUP and MLA   -   310 50.1   -  308 48.6 50.3
""",
    ),
    3: _read(
        'COCO val2017, RetinaNet; 1x, then 3x with multi-scale training',
        [
            Column('G', 'retinanet', 'flops'),
            Column('M', 'retinanet', 'params'),
            *_ap('retinanet', '1x', _BOXES, *_IOUS_AND_SIZES),
            *_ap('retinanet', '3x', _BOXES, *_IOUS_AND_SIZES),
        ],
        """
ResNet50         111 37.7 36.3 55.3 38.6 19.3 40.0 48.8 39.0 58.4 41.8 22.4 42.8 51.6
PVT-Small        118 34.2 40.4 61.3 43.0 25.0 42.9 55.7 42.2 62.7 45.0 26.2 45.2 57.2
Twins-PCPVT-S    118 34.4 43.0 64.1 46.0 27.5 46.3 57.3 45.2 66.5 48.6 30.0 48.8 58.9
Swin-T           118 38.5 41.5 62.1 44.2 25.1 44.9 55.5 43.9 64.8 47.1 28.4 47.2 57.8
Twins-SVT-S      104 34.3 43.0 64.2 46.3 28.0 46.4 57.5 45.6 67.1 48.6 29.8 49.3 60.0
ResNet101        149 56.7 38.5 57.8 41.2 21.4 42.6 51.1 40.9 60.1 44.0 23.7 45.0 53.8
ResNeXt101-32x4d 151 56.4 39.9 59.6 42.7 22.3 44.2 52.5 41.4 61.0 44.3 23.9 45.5 53.7
PVT-Medium       151 53.9 41.9 63.1 44.3 25.0 44.9 57.6 43.2 63.8 46.1 27.3 46.3 58.9
Twins-PCPVT-B    151 54.1 44.3 65.6 47.3 27.9 47.9 59.6 46.4 67.7 49.8 31.3 50.2 61.4
Swin-S           162 59.8 44.5 65.7 47.5 27.4 48.0 59.9 46.3 67.4 49.8 31.1 50.3 60.9
Twins-SVT-B      163 67.0 45.3 66.7 48.1 28.5 48.9 60.6 46.9 68.0 50.2 31.7 50.3 61.8
""",
    ),
    4: _read(
        'COCO val2017, Mask R-CNN; 1x, then 3x with multi-scale training',
        [
            Column('G', 'mask_rcnn', 'flops'),
            Column('M', 'mask_rcnn', 'params'),
            *_ap('mask_rcnn', '1x', _BOXES_AND_MASKS, *_IOUS),
            *_ap('mask_rcnn', '3x', _BOXES_AND_MASKS, *_IOUS),
        ],
        """
ResNet50         174 44.2 38.0 58.6 41.4 34.4 55.1 36.7 41.0 61.7 44.9 37.1 58.4 40.1
PVT-Small        178 44.1 40.4 62.9 43.8 37.8 60.1 40.3 43.0 65.3 46.9 39.9 62.5 42.8
Twins-PCPVT-S    178 44.3 42.9 65.8 47.1 40.0 62.7 42.9 46.8 69.3 51.8 42.6 66.3 46.0
Swin-T           177 47.8 42.2 64.6 46.2 39.1 61.6 42.0 46.0 68.2 50.2 41.6 65.1 44.8
Twins-SVT-S      164 44.0 43.4 66.0 47.3 40.3 63.2 43.4 46.8 69.2 51.2 42.6 66.3 45.8
ResNet101        210 63.2 40.4 61.1 44.2 36.4 57.7 38.8 42.8 63.2 47.1 38.5 60.1 41.3
ResNeXt101-32x4d 212 62.8 41.9 62.5 45.9 37.5 59.4 40.2 44.0 64.4 48.0 39.2 61.4 41.9
PVT-Medium       211 63.9 42.0 64.4 45.6 39.0 61.6 42.1 44.2 66.0 48.2 40.5 63.1 43.5
Twins-PCPVT-B    211 64.0 44.6 66.7 48.9 40.9 63.8 44.2 47.9 70.1 52.5 43.2 67.2 46.3
Swin-S           222 69.1 44.8 66.6 48.9 40.9 63.4 44.2 47.6 69.4 52.5 42.8 66.5 46.4
Twins-SVT-B      224 76.3 45.2 67.6 49.3 41.5 64.5 44.8 48.0 69.5 52.7 43.0 66.8 46.6
""",
    ),
    5: _read(
        'ImageNet-1K, 224 x 224, where there is LSA (L) and GSA (G)',
        [Column('M', '', 'params'), Column('G', '', 'flops'), Column('top-1', '', 'accuracy/top1')],
        """
(L, L, L)               8.8 2.2 76.9
(L, LLG, LLG, G)       23.5 2.8 81.5
(L, LG, LG, G)         24.1 2.8 81.7
(L, L, L, G)           22.2 2.9 80.5
PVT-small (G, G, G, G) 24.5 3.8 79.8
""",
    ),
    6: _read(
        'ImageNet-1K, 224 x 224, sub-sampling of GSA',
        [Column('top-1', '', 'accuracy/top1')],
        """
2D Conv.           81.7
2D Separable Conv. 81.2
Average Pooling    81.2
""",
    ),
    7: _read(
        'COCO val2017, Swin with conditional position encodings, 1x; RetinaNet, Mask R-CNN',
        [
            Column('RetinaNet G', 'retinanet', 'flops'),
            Column('RetinaNet M', 'retinanet', 'params'),
            *_ap('retinanet', '1x', _BOXES, *_IOUS),
            Column('Mask R-CNN G', 'mask_rcnn', 'flops'),
            Column('Mask R-CNN M', 'mask_rcnn', 'params'),
            *_ap('mask_rcnn', '1x', dict(APb='bbox'), *_IOUS),
        ],
        """
Swin-T        245 38.5 41.5 62.1 44.2 264 47.8 42.2 64.6 46.2
Swin-T + CPVT 245 38.5 41.3 62.4 44.1 263 47.8 42.0 64.5 45.9
""",
    ),
    8: _read(
        'COCO val2017, large models, 1x; RetinaNet, then Mask R-CNN',
        [
            Column('RetinaNet M', 'retinanet', 'params'),
            *_ap('retinanet', '1x', _BOXES, *_IOUS),
            Column('Mask R-CNN G', 'mask_rcnn', 'flops'),
            Column('Mask R-CNN M', 'mask_rcnn', 'params'),
            *_ap('mask_rcnn', '1x', _BOXES_AND_MASKS, ''),
        ],
        """
ResNeXt101-64x4d  95.5 41.0 60.9 44.0 493 101.9 42.8 38.4
PVT-Large         71.1 42.6 63.7 45.4 364  81.0 42.9 39.5
Twins-PCPVT-L     71.2 45.1 66.4 48.4 364  81.2 45.4 41.5
Swin-B            98.4 44.7 65.9 47.8 496 107.2 45.5 41.3
Twins-SVT-L      110.9 45.7 67.1 49.2 474 119.7 45.9 41.6
""",
    ),
    'I': _read(
        'ImageNet-1K, 224 x 224',
        [Column('M', '', 'params'), Column('G', '', 'flops'), Column('top-1', '', 'accuracy/top1')],
        """
STViT-S 25  4.4 83.6
STViT-B 52  9.9 84.8
STViT-L 95 15.6 85.3
""",
    ),
    'II': _read(
        'ImageNet-1K, 224 x 224, STViT without convolutions in stem and blocks',
        [Column('M', '', 'params'), Column('G', '', 'flops'), Column('top-1', '', 'accuracy/top1')],
        """
Swin 96-768 with RPE                          28 4.5 81.3
STViT 96-768 with RPE                         30 4.3 82.3
Swin 64-512 with RPE                          23 4.2 81.4
Swin 64-512 with RPE, global in third stage   23 4.3 81.7
STViT 64-512 with RPE                         24 4.0 82.6
Swin 64-512                                   23 4.2 80.2
STViT 64-512                                  24 4.0 82.3
""",
    ),
}
