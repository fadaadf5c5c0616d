"""The detectors and segmentors of the recipes, one row each."""

from typing import NamedTuple


class Head(NamedTuple):
    """A kind of model, and how to recognise its weights.

    Attributes:
        recipe: The prefix of its configs' names.
        task: Its entry in `tasks.TASKS`.
        modules: The modules of its heads, as the first two parts of a weight's name, without
            those that only help in training.
        classifier: The weight whose rows correspond to classes.
        rows: The number of rows for each class and for the background.
        data_sets: The rows of `data_sets.DATA_SETS` that its configs train on; empty for its
            task's.
        mark: A weight that tells its heads from others with the same modules.
    """

    title: str
    recipe: str
    task: str
    modules: set[str]
    classifier: str
    rows: tuple[int, int] = (1, 0)
    data_sets: tuple[str, ...] = ()
    mark: str = ''


def _modules(**heads: str) -> set[str]:
    return {f'{head}.{module}' for head, modules in heads.items() for module in modules.split()}


HEADS = (
    Head(
        'RetinaNet',
        'retinanet',
        'detection',
        _modules(bbox_head='cls_convs reg_convs retina_cls retina_reg'),
        'bbox_head.retina_cls.weight',
        (9, 0),
    ),
    # A Cascade R-CNN has the same modules, but its classifiers are numbered.
    Head(
        'Mask R-CNN',
        'mask_rcnn',
        'instance_segmentation',
        _modules(rpn_head='rpn_conv rpn_cls rpn_reg', roi_head='bbox_head mask_head'),
        'roi_head.bbox_head.fc_cls.weight',
        (1, 1),
    ),
    Head(
        'Cascade Mask R-CNN',
        'cascade_mask_rcnn',
        'instance_segmentation',
        _modules(rpn_head='rpn_conv rpn_cls rpn_reg', roi_head='bbox_head mask_head'),
        'roi_head.bbox_head.0.fc_cls.weight',
        (1, 1),
        mark='roi_head.bbox_head.2.shared_convs.3.conv.weight',
    ),
    Head(
        'Semantic FPN',
        'semantic_fpn',
        'semantic_segmentation',
        _modules(decode_head='scale_heads conv_seg'),
        'decode_head.conv_seg.weight',
    ),
    Head(
        'UperNet',
        'upernet',
        'semantic_segmentation',
        _modules(
            decode_head='psp_modules bottleneck lateral_convs fpn_convs fpn_bottleneck conv_seg'
        ),
        'decode_head.conv_seg.weight',
    ),
    Head(
        'SegFormer head',
        'segformer',
        'semantic_segmentation',
        _modules(decode_head='convs fusion_conv conv_seg'),
        'decode_head.conv_seg.weight',
        data_sets=('ade20k', 'cityscapes'),
    ),
)
