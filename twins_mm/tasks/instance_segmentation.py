"""Instance segmentation: boxes and a mask in each, by mmdet."""

from mmengine.config import Config
from mmengine.dataset import Compose

from ..config import walk
from .detection import Detection
from .findings import Fault, ImageContents


class InstanceSegmentation(Detection):
    """Boxes and masks of objects."""

    name = 'instance_segmentation'

    load = [dict(type='LoadAnnotations', with_bbox=True, with_mask=True)]
    # Few images: Mask R-CNN's heads process 512 boxes per image.
    toy_batch, toy_iterations = 2, 150
    toy_evaluator = dict(type='CocoMetric', metric=['bbox', 'segm'])
    metrics = {**Detection.metrics, 'coco/segm_mAP': ('mask AP', 'Instance Segmentation')}

    def is_of(self, cfg: Config) -> bool:
        steps = walk(cfg.get('train_dataloader'))
        return super().is_of(cfg) and any(step.get('with_mask') for step in steps)

    def check(self, info: dict, load: Compose, classes: int) -> ImageContents:
        contents = super().check(info, load, classes)
        faults = []
        for instance in info.get('instances', ()):
            if kind := _find_mask_fault(instance.get('mask'), info):
                box = tuple(instance['bbox'])
                where = f'the box starts at {box[0]:g}, {box[1]:g}'
                faults.append(Fault(kind, info['img_path'], where, box))
        return contents._replace(findings=(*contents.findings, *faults))


def _find_mask_fault(mask: list | dict | None, info: dict) -> str:
    """The kind of a mask's fault, '' without one."""
    from pycocotools import mask as coco_masks

    size = info['height'], info['width']
    if not mask:
        return 'no_mask'
    if isinstance(mask, list):
        polygons = [polygon for polygon in mask if len(polygon) % 2 == 0 and len(polygon) >= 6]
        if not polygons:
            return 'broken_polygon'
        mask = coco_masks.merge(coco_masks.frPyObjects(polygons, *size))
    elif tuple(mask['size']) != size:
        return 'mask_size'
    elif isinstance(mask['counts'], list):
        mask = coco_masks.frPyObjects(mask, *size)
    return '' if coco_masks.area(mask) else 'empty_mask'
