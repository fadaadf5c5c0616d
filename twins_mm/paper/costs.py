"""What the configs' models cost, beside what the paper prints, counted as the paper does.

Of how it counts FLOPs the paper states no more than image sizes; the rest is what reproduces its
tables.
"""
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from ..flops import Macs, count_macs

# A second stage's work depends on the image: this is the most that a test image makes.
BOX_ROIS, MASK_ROIS = (1000, 256, 7, 7), (100, 256, 14, 14)


class PaperFigures(NamedTuple):
    """What the paper prints of a model: millions of parameters; billions of FLOPs, if any.

    `note` explains a difference of more than 1%.
    """

    params: float
    flops: float | None
    note: str = ''


class Table(NamedTuple):
    """Models that the paper counts alike.

    Attributes:
        configs: Pattern of their configs, with `{}` for the variant.
        image_size: Height and width of the one image.
        attention: FLOPs include attention's products.
        output_deconvolution: FLOPs include the mask head's transposed convolution as if it were a
            convolution over its output, which is 4 times what it computes.
        paper: The paper's figures by variant.
    """

    title: str
    configs: str
    image_size: tuple[int, int]
    attention: bool
    paper: dict[str, PaperFigures]
    output_deconvolution: bool = False


TABLES = (
    Table('ImageNet-1K classifier, Table 1', '_base_/backbones/{}.py', (224, 224), True, {
        'pcpvt_s': PaperFigures(24.1, 3.8),
        'pcpvt_b': PaperFigures(43.8, 6.7),
        'pcpvt_l': PaperFigures(60.9, 9.8),
        'svt_s': PaperFigures(24, 2.9),
        'svt_b': PaperFigures(56, 8.6),
        'svt_l': PaperFigures(99.2, 15.1)}),
    Table('RetinaNet, Table 3 and Supplementary Table 1', 'retinanet_twins_{}_*.py', (800, 600),
          True, {
        'pcpvt_s': PaperFigures(34.4, 118),
        'pcpvt_b': PaperFigures(54.1, 151),
        'pcpvt_l': PaperFigures(71.2, None),
        'svt_s': PaperFigures(34.3, 104),
        'svt_b': PaperFigures(67.0, 163),
        'svt_l': PaperFigures(110.9, None)}),
    Table('Mask R-CNN, Table 4', 'mask_rcnn_twins_{}_*.py', (800, 600), True, {
        'pcpvt_s': PaperFigures(44.3, 178),
        'pcpvt_b': PaperFigures(64.0, 211),
        'svt_s': PaperFigures(44.0, 164),
        'svt_b': PaperFigures(76.3, 224)}, output_deconvolution=True),
    Table('Mask R-CNN, Supplementary Table 1', 'mask_rcnn_twins_{}_*.py', (1280, 800), False, {
        'pcpvt_l': PaperFigures(81.2, 364),
        'svt_l': PaperFigures(119.7, 474, "474.1 without the windows' padding")}),
    Table('Semantic FPN, Table 2', 'semantic_fpn_twins_{}_*.py', (512, 512), False, {
        'pcpvt_s': PaperFigures(28.4, 40, '40.6 with its decimal cut off'),
        'pcpvt_b': PaperFigures(48.1, 55),
        'pcpvt_l': PaperFigures(65.3, 71),
        'svt_s': PaperFigures(28.3, 37),
        'svt_b': PaperFigures(60.4, 67),
        'svt_l': PaperFigures(103.7, 102)}),
    Table('UperNet, Table 2', 'upernet_twins_{}_*.py', (512, 512), True, {
        'pcpvt_s': PaperFigures(54.6, 234),
        'pcpvt_b': PaperFigures(74.3, 250),
        'pcpvt_l': PaperFigures(91.5, 269),
        'svt_s': PaperFigures(54.4, 228),
        'svt_b': PaperFigures(88.5, 261),
        'svt_l': PaperFigures(133, 297)}),
)


class Row(NamedTuple):
    """What a model costs, in parameters and multiply-accumulates for one image of `image_size`.

    `configs` are the names of those that build it. `counted_params` and `counted_macs` are counted
    as `paper` counts.
    """

    configs: list[str]
    image_size: tuple[int, int]
    params: int
    counted_params: int
    macs: Macs
    counted_macs: int
    paper: PaperFigures

    @property
    def name(self) -> str:
        """`NAME_80k`, or `NAME_{1x,3x}` for configs of one model."""
        if len(self.configs) == 1:
            return self.configs[0]
        names, schedules = zip(*(config.rsplit('_', 1) for config in self.configs))
        return f'{names[0]}_{{{",".join(schedules)}}}'

    @property
    def params_off(self) -> float:
        """What is counted here relative to what the paper prints: 0.01 is 1% more."""
        return self.counted_params / 1e6 / self.paper.params - 1

    @property
    def flops_off(self) -> float | None:
        """The same for FLOPs; None where the paper prints none."""
        return self.paper.flops and self.counted_macs / 1e9 / self.paper.flops - 1


def make_rows(table: Table, folder: Path) -> Iterator[Row]:
    """Builds and counts a table's models, whose configs are in `folder`; takes no memory."""
    for variant, paper in table.paper.items():
        configs = sorted(folder.glob(table.configs.format(variant)))
        with torch.device('meta'):
            model = _build(configs[0])
            classifier = _classifier(getattr(model, 'backbone', model).out_channels[-1])
            macs = count_macs(_run, model, classifier, torch.empty(1, 3, *table.image_size))
            counted_macs = macs.layers + table.attention * macs.attention
            if table.output_deconvolution:
                counted_macs += _deconvolution_surplus(model)
        params = _count_params(model)
        yield Row([path.stem for path in configs], table.image_size, params,
                  params + _count_params(classifier), macs, counted_macs, paper)


def _build(config: Path) -> nn.Module:
    """The config's model; where it is of a backbone alone, that one as ImageNet's classifier's."""
    cfg = Config.fromfile(config)
    model = cfg.get('model') or dict(cfg.backbone, norm_after_stage=False)
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
        return MODELS.build(model).eval()


def _classifier(channels: int) -> nn.Module:
    """ImageNet's final norm and head, which the paper's detectors and segmentors carry unused."""
    return nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, 1000))


def _run(model: nn.Module, classifier: nn.Module, images: torch.Tensor) -> None:
    """Runs what the paper counts: heads that only training needs too, no post-processing."""
    if not hasattr(model, 'backbone'):
        classifier(model(images)[-1].mean((2, 3)))
        return
    maps = model.extract_feat(images)
    for name in ('rpn_head', 'bbox_head', 'decode_head', 'auxiliary_head'):
        if hasattr(model, name):
            getattr(model, name)(maps)
    if hasattr(model, 'roi_head'):
        model.roi_head.bbox_head(torch.empty(BOX_ROIS))
        model.roi_head.mask_head(torch.empty(MASK_ROIS))


def _deconvolution_surplus(model: nn.Module) -> int:
    """What `output_deconvolution` adds: its stride makes several outputs of each input."""
    deconvolution = model.roi_head.mask_head.upsample
    macs = count_macs(deconvolution, torch.empty(MASK_ROIS)).layers
    return (math.prod(deconvolution.stride) - 1) * macs


def _count_params(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
