"""What the configs' models cost, compared with what the paper prints, counted as the paper does.

Of how it counts FLOPs the paper states no more than image sizes; the rest is what reproduces its
tables.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS, DefaultScope
from torch import nn
from torch.overrides import TorchFunctionMode

from ..files.shipped import is_released, list_configs, paper_name
from ..models.variants import BACKBONES, VARIANTS, Variant
from .baselines import ABLATIONS, BASELINES, STVIT, TWINS, Baseline, Source
from .figures import TABLES, PaperTable
from .flops import Macs, count_macs

# A second stage's work depends on the image: this is the most that a test image makes.
BOX_ROIS, MASK_ROIS = (1000, 256, 7, 7), (100, 256, 14, 14)


class Counting(NamedTuple):
    """How the paper counts models of a method.

    Attributes:
        tables: The keys of the tables that they are in.
        method: As in `Column.method`.
        schedule: What the names of its configs end in.
        image_size: Height and width of the one image.
        attention: FLOPs include attention's products.
        output_deconvolution: FLOPs include the mask head's transposed convolution as if it were a
            convolution over its output, which is 4 times what it computes.
        notes: By variant or baseline, what explains a difference of more than 1%.
        source: The paper, whose families are counted.
        carries_classifier: Parameters of detectors and segmentors include ImageNet's classifier,
            which the paper's carry unused.
    """

    title: str
    tables: tuple[int | str, ...]
    method: str
    image_size: tuple[int, int]
    attention: bool
    output_deconvolution: bool = False
    notes: Mapping[str, str] = {}
    schedule: str = '[0-9]*'
    source: Source = TWINS
    carries_classifier: bool = True

    @property
    def variants(self) -> list[str]:
        """Those that its tables print and, of the method's first counting, those in no table."""
        same = [
            counting
            for counting in COUNTINGS
            if (counting.method, counting.schedule, counting.source)
            == (self.method, self.schedule, self.source)
        ]
        elsewhere = {name for counting in same if counting != self for name in counting.paper}
        printed = self.paper
        variants = [
            name for name, variant in VARIANTS.items() if variant.family in self.source.families
        ]
        return [
            name
            for name in dict.fromkeys([*variants, *printed])
            if name in printed or self == same[0] and name not in elsewhere
        ]

    @property
    def paper(self) -> dict[str, dict[str, float]]:
        """What the paper prints, by variant: `params` in millions, `flops` in billions, if any."""
        return self._read(PaperTable.list_ours)

    @property
    def baselines(self) -> dict[str, dict[str, float]]:
        """The same of baselines, by name."""
        return self._read(PaperTable.list_baselines)

    def find_configs(self, backbone: Variant | Baseline, folder: Path) -> list[Path]:
        """The configs of this method with a backbone, the released code's last."""
        parts = (self.method, backbone.in_configs, self.method and self.schedule)
        pattern = '_'.join(filter(None, parts))
        return [path for path in list_configs(folder) if fnmatch(paper_name(path.stem), pattern)]

    def _read(self, figures_of: Callable) -> dict[str, dict[str, float]]:
        figures: dict[str, dict[str, float]] = {}
        for number in self.tables:
            for backbone, column, value in figures_of(TABLES[number]):
                if column.method == self.method:
                    costs = figures.setdefault(backbone.name, {})
                    if column.figure in ('params', 'flops'):
                        costs[column.figure] = value
        return figures

    @property
    def rows(self) -> dict[str, str]:
        """The rows of the paper's ablations, by variant."""
        return {
            ABLATIONS[row].name: row
            for number in self.tables
            for row in TABLES[number].rows
            if row in ABLATIONS
        }


COUNTINGS = (
    Counting(
        'ImageNet-1K classifier, Table 1',
        (1,),
        '',
        (224, 224),
        attention=True,
        notes=dict(swin_t='28.29 rounded up', swin_t_cpvt='28.28 rounded, no attention'),
    ),
    Counting(
        'ImageNet-1K classifier, Table 5',
        (5,),
        '',
        (224, 224),
        attention=False,
        notes=dict(svt_s_lll='2.22 rounded', svt_s_lllg='2.87 rounded'),
    ),
    Counting('ImageNet-1K classifier, Table 6', (6,), '', (224, 224), attention=False),
    Counting(
        'RetinaNet, Table 3 and Supplementary Table 1',
        (3, 8),
        'retinanet',
        (800, 600),
        attention=True,
        notes=dict(resnet_50='no reason found'),
    ),
    Counting(
        'Mask R-CNN, Table 4',
        (4,),
        'mask_rcnn',
        (800, 600),
        attention=True,
        output_deconvolution=True,
    ),
    Counting(
        'Mask R-CNN, Supplementary Table 1',
        (8,),
        'mask_rcnn',
        (1280, 800),
        attention=False,
        notes=dict(svt_l="474.1 without the windows' padding"),
    ),
    Counting(
        'Semantic FPN, Table 2',
        (2,),
        'semantic_fpn',
        (512, 512),
        attention=False,
        notes=dict(
            pcpvt_s='40.6 with its decimal cut off',
            resnet_101='no reason found',
            pvt_s='40.6 with its decimal cut off',
            resnet_50='45.5 with its decimal cut off',
        ),
    ),
    Counting('UperNet, Table 2', (2,), 'upernet', (512, 512), attention=True),
    Counting(
        'SegFormer head on ADE20K',
        (),
        'segformer',
        (512, 512),
        attention=True,
        schedule='160k_ade20k',
    ),
    Counting(
        'SegFormer head on Cityscapes',
        (),
        'segformer',
        (512, 1024),
        attention=True,
        schedule='160k_cityscapes',
    ),
    Counting(
        "ImageNet-1K classifier, STViT's supplementary Table I",
        ('I',),
        '',
        (224, 224),
        attention=True,
        source=STVIT,
        notes=dict(stvit_s='25.50 rounded; 4.36 with norms, which fvcore counts'),
    ),
    Counting(
        "ImageNet-1K classifier, STViT's supplementary Table II",
        ('II',),
        '',
        (224, 224),
        attention=True,
        source=STVIT,
        notes=dict(stvit_s_isotropic='3.96 with norms, which fvcore counts'),
    ),
    *(
        Counting(
            f'{title}, STViT',
            (),
            method,
            size,
            attention=True,
            source=STVIT,
            carries_classifier=False,
        )
        for title, method, size in (
            ('Mask R-CNN', 'mask_rcnn', (1280, 800)),
            ('Cascade Mask R-CNN', 'cascade_mask_rcnn', (1280, 800)),
            ('UperNet', 'upernet', (512, 512)),
        )
    ),
)
# The same, and what Table 7 prints of baselines alone.
BASELINE_COUNTINGS = (
    *(counting for counting in COUNTINGS if counting.baselines),
    Counting('RetinaNet, Table 7', (7,), 'retinanet', (1280, 800), attention=False),
    Counting('Mask R-CNN, Table 7', (7,), 'mask_rcnn', (1280, 800), attention=False),
)


class Cost(NamedTuple):
    """What a model costs, in parameters and in multiply-accumulates for one image.

    `configs` are those that build it. `counted_params` and `counted_macs` are counted as `counting`
    says; `paper`, `note` and `row` are its own, for this model.
    """

    counting: Counting
    backbone: Variant | Baseline
    configs: list[Path]
    params: int
    counted_params: int
    macs: Macs
    counted_macs: int
    paper: dict[str, float]
    note: str
    row: str

    @property
    def name(self) -> str:
        """`NAME_80k`, `NAME_{1x,3x}` for configs of one model; `BACKBONE: ROW` for a classifier."""
        if not self.counting.method:
            return ': '.join(filter(None, (self.backbone.name, self.row)))
        papers = [path.stem for path in self.configs if not is_released(path.stem)]
        if len(papers) == 1:
            return papers[0]
        names, schedules = zip(*(name.rsplit('_', 1) for name in papers))
        return f'{names[0]}_{{{",".join(schedules)}}}'

    @property
    def params_off(self) -> float | None:
        """What is counted relative to what the paper prints, if it does: 0.01 is 1% more."""
        return self._off('params', self.counted_params / 1e6)

    @property
    def flops_off(self) -> float | None:
        """The same for FLOPs."""
        return self._off('flops', self.counted_macs / 1e9)

    def _off(self, figure: str, counted: float) -> float | None:
        return counted / self.paper[figure] - 1 if figure in self.paper else None


def count_costs(counting: Counting, folder: Path) -> Iterator[Cost]:
    """Builds and counts a counting's models, whose configs are in `folder`; takes no memory."""
    paper = counting.paper
    for name in counting.variants:
        variant = BACKBONES[name]
        configs = counting.find_configs(variant, folder)
        if configs:
            yield _count(
                counting,
                variant,
                configs,
                _find_classifier(variant, folder),
                paper.get(name, {}),
                counting.carries_classifier,
            )


def count_baselines(counting: Counting, folder: Path) -> Iterator[Cost]:
    """The same of its baselines, but for what isn't trained, which mmdet's counter leaves out."""
    for name, paper in counting.baselines.items():
        baseline = BASELINES[name]
        classifier = _make_classifier(baseline, folder)
        configs = counting.find_configs(baseline, folder)
        yield _count(counting, baseline, configs, classifier, paper, carries_classifier=False)


def _find_classifier(variant: Variant, folder: Path) -> ConfigDict:
    """A variant's classifier; it may have no config, in `imagenet/` or `ablations/`."""
    paths = list_configs(folder, variant.in_configs)
    return Config.fromfile(paths[0]).model if paths else _make_classifier(variant, folder)


def _make_classifier(backbone: Variant | Baseline, folder: Path) -> ConfigDict:
    """With the end that the paper's classifiers have."""
    cfg = Config.fromfile(folder / f'_base_/backbones/{backbone.name}.py')
    width = dict(in_channels=cfg.channels[-1])
    return ConfigDict(
        backbone=dict(cfg.backbone, out_indices=(len(cfg.channels) - 1,)),
        neck=dict(width, type='NormedAveragePooling'),
        head=width,
    )


def _count(
    counting: Counting,
    backbone: Variant | Baseline,
    configs: list[Path],
    imagenet: ConfigDict,
    paper: dict[str, float],
    carries_classifier: bool,
) -> Cost:
    """Counts the first of equal configs; `imagenet` is its backbone's classifier."""
    if counting.method:
        cfg = Config.fromfile(configs[0])
        model = build_on_meta(cfg.model, cfg.default_scope)
    else:
        model = build_on_meta(imagenet.backbone, None)
    with torch.device('meta'):
        classifier = nn.ModuleList(
            [MODELS.build(imagenet.neck), nn.Linear(imagenet.head.in_channels, 1000)]
        )
        macs = count_macs(_run, model, classifier, torch.empty(1, 3, *counting.image_size))
        counted_macs = macs.layers + counting.attention * macs.attention
        if counting.output_deconvolution:
            counted_macs += _deconvolution_surplus(model)
    parts = [model, classifier] if carries_classifier or not counting.method else [model]
    counted = [
        parameter for part in parts for parameter in part.parameters() if parameter.requires_grad
    ]
    return Cost(
        counting,
        backbone,
        configs,
        _count_params(model.parameters()),
        _count_params(counted),
        macs,
        counted_macs,
        paper,
        counting.notes.get(backbone.name, ''),
        counting.rows.get(backbone.name, ''),
    )


class _NumbersOnCpu(TorchFunctionMode):
    """mmdet's backbones read the numbers of `torch.linspace`; a tensor on `meta` has none."""

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        device = dict(device='cpu') if func is torch.linspace else {}
        return func(*args, **{**(kwargs or {}), **device})


def build_on_meta(model: dict, scope: str | None) -> nn.Module:
    """A model for evaluation, without memory for its weights."""
    with DefaultScope.overwrite_default_scope(scope), torch.device('meta'), _NumbersOnCpu():
        built = MODELS.build(model)
    built.eval()  # mmdet's Swin returns nothing here
    return built


def _run(model: nn.Module, classifier: nn.Module, images: torch.Tensor) -> None:
    """Runs what the paper counts: heads that only training needs too, no post-processing."""
    if not hasattr(model, 'backbone'):
        pooling, linear = classifier
        linear(*pooling(model(images)))
        return
    maps = model.extract_feat(images)
    for name in ('rpn_head', 'bbox_head', 'decode_head', 'auxiliary_head'):
        if hasattr(model, name):
            getattr(model, name)(maps)
    if hasattr(model, 'roi_head'):
        for name, regions in (('bbox_head', BOX_ROIS), ('mask_head', MASK_ROIS)):
            heads = getattr(model.roi_head, name, nn.ModuleList())  # without masks, no head of them
            for head in heads if isinstance(heads, nn.ModuleList) else [heads]:
                head(torch.empty(regions))


def _deconvolution_surplus(model: nn.Module) -> int:
    """What `output_deconvolution` adds: its stride makes several outputs of each input."""
    deconvolution = model.roi_head.mask_head.upsample
    macs = count_macs(deconvolution, torch.empty(MASK_ROIS)).layers
    return (math.prod(deconvolution.stride) - 1) * macs


def _count_params(parameters: Iterable[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)
