"""mmdet's detectors as they are deployed: from the image to boxes and masks.

Shapes: B images, K boxes, C classes.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.structures import BaseDataElement, InstanceData
from torch import nn
from torch.nn import functional as F

from ..errors import UserError
from .deployable import Deployable, as_batch
from .roi_align import align
from .suppression import suppress

MASK_THRESHOLD = 0.5


class DeployableDetector(Deployable):
    """What detectors have in common: their outputs."""

    outputs = dict(
        boxes='float32, (B, K, 4): x1, y1, x2, y2 in pixels of the image; K is max_per_img',
        scores='float32, (B, K), from the highest; 0 where there are fewer boxes',
        labels='int64, (B, K): classes from 0; -1 where there are fewer boxes',
    )
    differing = 'of the detections'

    @staticmethod
    def expected(model: nn.Module, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Masks are mmdet's: bool, `(B, K, H, W)`."""
        from mmdet.structures import DetDataSample

        found = [
            sample.pred_instances for sample in model.test_step(as_batch(images, DetDataSample))
        ]
        number = model.test_cfg.get('rcnn', model.test_cfg).max_per_img

        def stack(name: str, unused: int = 0) -> torch.Tensor:
            values = [one[name] for one in found]
            return torch.stack(
                [
                    F.pad(value, (0, 0) * (value.ndim - 1) + (0, number - len(value)), value=unused)
                    for value in values
                ]
            )

        masks = [stack('masks')] if 'masks' in found[0] else []
        return (stack('bboxes'), stack('scores'), stack('labels', unused=-1), *masks)

    def fill_sample(self, sample: BaseDataElement, outputs: Sequence[torch.Tensor]) -> None:
        is_found = outputs[2] >= 0
        boxes, scores, labels, *masks = (output[is_found] for output in outputs)
        boxes = boxes / boxes.new_tensor(sample.scale_factor).repeat(2)
        sample.pred_instances = InstanceData(bboxes=boxes, scores=scores, labels=labels)
        if masks:
            sample.pred_instances.masks = paste(masks[0], boxes, sample.ori_shape)


class DeployableRetinaNet(DeployableDetector):
    """mmdet's RetinaNet.

    Raises:
        UserError: The scores aren't sigmoids, or `test_cfg.nms` is more than a threshold.
    """

    def __init__(self, model: nn.Module, preprocessor: dict):
        super().__init__(model, preprocessor, preprocessor.get('pad_size_divisor', 1))
        if not model.bbox_head.use_sigmoid_cls or not _is_plain(model.test_cfg.nms):
            raise UserError(
                'A RetinaNet needs sigmoid scores to be exported, and '
                "model.test_cfg.nms=dict(type='nms', iou_threshold=...)"
            )

    @staticmethod
    def takes(model: nn.Module) -> bool:
        from mmdet.models import RetinaHead, SingleStageDetector

        return isinstance(model, SingleStageDetector) and isinstance(model.bbox_head, RetinaHead)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        head, cfg = self.model.bbox_head, self.model.test_cfg
        features = self.model.extract_feat(self.prepare(images))
        found = _predict_densely(head, cfg, features, tuple(images.shape[2:]))
        return _keep_best(*found, cfg)


class DeployableTwoStage(DeployableDetector):
    """mmdet's Mask R-CNN and Faster R-CNN.

    Masks stay as the network computes them, 28 x 28 in each box: pasted into a photo of 12
    megapixels, 100 of them would have 1.2 GB. `paste` does it.

    Raises:
        UserError: Scores of proposals aren't sigmoids, an NMS is more than a threshold, or masks
            have another threshold than `MASK_THRESHOLD`.
    """

    def __init__(self, model: nn.Module, preprocessor: dict):
        super().__init__(model, preprocessor, preprocessor.get('pad_size_divisor', 1))
        cfg = model.test_cfg
        if not model.rpn_head.use_sigmoid_cls or not (
            _is_plain(cfg.rpn.nms) and _is_plain(cfg.rcnn.nms)
        ):
            raise UserError(
                'A two-stage detector needs sigmoid scores of proposals to be exported, and nms='
                "dict(type='nms', iou_threshold=...) in model.test_cfg.rpn and model.test_cfg.rcnn"
            )
        if model.roi_head.with_mask:
            if cfg.rcnn.mask_thr_binary != MASK_THRESHOLD:
                raise UserError(
                    'A Mask R-CNN needs model.test_cfg.rcnn.mask_thr_binary='
                    f'{MASK_THRESHOLD} to be exported'
                )
            self.outputs = dict(
                self.outputs,
                masks='float32, (B, K, 28, 28): in each box, the probability of being'
                f' part of the object; {MASK_THRESHOLD} or more is',
            )

    @staticmethod
    def takes(model: nn.Module) -> bool:
        from mmcv.ops import RoIAlign
        from mmdet.models import TwoStageDetector
        from mmdet.models.dense_heads import RPNHead
        from mmdet.models.roi_heads import (
            ConvFCBBoxHead,
            FCNMaskHead,
            SingleRoIExtractor,
            StandardRoIHead,
        )

        if not isinstance(model, TwoStageDetector):
            return False
        head = model.roi_head
        # Classes derived from these predict in ways of their own.
        if (
            type(head) is not StandardRoIHead
            or head.with_shared_head
            or type(getattr(model, 'rpn_head', None)) is not RPNHead
        ):
            return False
        extractors = [head.bbox_roi_extractor]
        if head.with_mask:
            extractors.append(head.mask_roi_extractor)
        return (
            isinstance(head.bbox_head, ConvFCBBoxHead)
            and not head.bbox_head.custom_activation
            and (not head.with_mask or type(head.mask_head) is FCNMaskHead)
            and all(type(one) is SingleRoIExtractor for one in extractors)
            and all(
                type(layer) is RoIAlign and layer.aligned and layer.pool_mode == 'avg'
                for one in extractors
                for layer in one.roi_layers
            )
        )

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        size = tuple(images.shape[2:])
        features = self.model.extract_feat(self.prepare(images))
        boxes, scores, labels = self._find_boxes(features, *self._propose(features, size), size)
        if not self.model.with_mask:
            return boxes, scores, labels
        return boxes, scores, labels, self._find_masks(features, boxes, labels)

    def _propose(
        self, features: Sequence[torch.Tensor], size: tuple[int, int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Boxes `(B, K, 4)` that may have an object, and whether each is one, `(B, K)`."""
        cfg = self.model.test_cfg.rpn
        boxes, scores, _ = _predict_densely(self.model.rpn_head, cfg, features, size)
        levels = (torch.arange(scores.shape[1]) // cfg.nms_pre).expand_as(scores)
        boxes, scores, _ = _keep_best(boxes, scores, levels, cfg)
        return boxes, scores > 0

    def _find_boxes(
        self,
        features: Sequence[torch.Tensor],
        proposals: torch.Tensor,
        is_proposal: torch.Tensor,
        size: tuple[int, int],
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        head, cfg = self.model.roi_head, self.model.test_cfg.rcnn
        logits, deltas = head.bbox_head(_align(head.bbox_roi_extractor, features, proposals))
        scores = logits.float().softmax(-1)[:, :-1].unflatten(0, is_proposal.shape)
        scores = scores.where(is_proposal[..., None] & (scores > cfg.score_thr), 0.0)
        boxes = head.bbox_head.bbox_coder.decode(
            proposals.flatten(0, 1), deltas.float(), max_shape=size
        )
        # One box for all classes, or one for each.
        boxes = boxes.view(*is_proposal.shape, -1, 4).expand(*scores.shape, 4)
        labels = torch.arange(scores.shape[2]).expand_as(scores)
        return _keep_best(boxes.flatten(1, 2), scores.flatten(1), labels.flatten(1), cfg)

    def _find_masks(
        self, features: Sequence[torch.Tensor], boxes: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor:
        head = self.model.roi_head
        masks = head.mask_head(_align(head.mask_roi_extractor, features, boxes)).float().sigmoid()
        masks = masks.unflatten(0, labels.shape)
        label = labels.clamp(0, masks.shape[2] - 1)[..., None, None, None]
        masks = masks.gather(2, label.expand(-1, -1, -1, *masks.shape[3:])).squeeze(2)
        return masks * (labels >= 0)[..., None, None]


def _is_plain(nms: dict) -> bool:
    """Whether it is non-maximum suppression with a threshold and nothing else."""
    return nms.get('type', 'nms') == 'nms' and nms.keys() - {'type'} == {'iou_threshold'}


def _predict_densely(
    head: nn.Module, cfg: ConfigDict, features: Sequence[torch.Tensor], size: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The most likely boxes of an anchor-based head, `nms_pre` of each level: see `_keep_best`."""
    logits, labels, deltas, anchors = (
        torch.cat(parts, 1)
        for parts in zip(
            *(
                _pick(head, cfg.nms_pre, level, *maps)
                for level, maps in enumerate(zip(*head(features)))
            )
        )
    )
    boxes = head.bbox_coder.decode(
        anchors.flatten(0, 1), deltas.flatten(0, 1), max_shape=size
    ).unflatten(0, labels.shape)
    scores = logits.sigmoid()
    is_box = (boxes[..., 2:] - boxes[..., :2] > cfg.get('min_bbox_size', -1)).all(-1)
    return boxes, scores.where(is_box & (scores > cfg.get('score_thr', 0)), 0.0), labels


def _pick(
    head: nn.Module, number: int, level: int, logits: torch.Tensor, deltas: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """The most likely pairs of an anchor and a class: logits, labels, deltas and anchors."""
    anchors = head.prior_generator.single_level_grid_priors(
        logits.shape[2:], level, device=logits.device
    )
    pairs = logits.float().permute(0, 2, 3, 1).flatten(1)
    # A small level has fewer pairs: pairs of probability 0 are added.
    pairs, index = F.pad(pairs, (0, number), value=-torch.inf).topk(number)
    anchor = (index // head.cls_out_channels).clamp(max=anchors.shape[0] - 1)
    deltas = deltas.float().permute(0, 2, 3, 1).flatten(1).unflatten(1, (-1, 4))
    return (
        pairs,
        index % head.cls_out_channels,
        deltas.gather(1, anchor[..., None].expand(-1, -1, 4)),
        anchors[anchor],
    )


def _keep_best(
    boxes: torch.Tensor, scores: torch.Tensor, labels: torch.Tensor, cfg: ConfigDict
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The best `max_per_img` after suppression among boxes of the same label.

    Args:
        boxes: `(B, K, 4)`: x1, y1, x2, y2.
        scores: `(B, K)`; 0 where there is no box.
        labels: `(B, K)`, from 0.
        cfg: With `nms` and `max_per_img`.

    Returns:
        The same for those that are kept, from the highest score. Where there are fewer, boxes and
        scores are 0 and labels -1.
    """
    # One suppression for all labels: they are moved so far apart that they never overlap.
    step = (boxes * (scores > 0)[..., None]).amax((1, 2), keepdim=True) + 1
    scores = suppress(
        boxes + labels[..., None] * step, scores, cfg.nms.iou_threshold, cfg.max_per_img
    )
    scores, kept = scores.topk(min(cfg.max_per_img, scores.shape[1]))
    is_found = scores > 0
    boxes = boxes.gather(1, kept[..., None].expand(-1, -1, 4))
    return boxes * is_found[..., None], scores, labels.gather(1, kept).where(is_found, -1)


def _align(
    extractor: nn.Module, features: Sequence[torch.Tensor], boxes: torch.Tensor
) -> torch.Tensor:
    """Features of boxes `(B, K, 4)`, each from the level for its size: `(B * K, C, size, size)`."""
    image = torch.arange(boxes.shape[0])[:, None, None].expand(-1, boxes.shape[1], 1)
    rois = torch.cat((image.to(boxes), boxes), -1).flatten(0, 1)
    side = (boxes[..., 2:] - boxes[..., :2]).prod(-1).sqrt().flatten()
    bounds = 2.0 ** torch.arange(1, extractor.num_inputs)
    levels = (side[:, None] / extractor.finest_scale + 1e-6 >= bounds).sum(1)
    result = torch.tensor(0.0)
    for level, (layer, feature) in enumerate(zip(extractor.roi_layers, features)):
        is_here = levels == level
        # Boxes of other levels lose their area, so they cost nothing.
        part = align(
            feature.float(),
            rois.where(is_here[:, None], 0.0),
            layer.output_size[0],
            layer.spatial_scale,
            layer.sampling_ratio,
        )
        result = part.where(is_here[:, None, None, None], result)
    return result.to(features[0])


def paste(masks: torch.Tensor, boxes: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """The masks of boxes in an image of this height and width, bool, `(K, H, W)`.

    Args:
        masks: Probabilities, `(K, h, w)`, of the box's h x w parts.
        boxes: `(K, 4)`: x1, y1, x2, y2 in pixels of the image.
        size: Height and width.
    """
    pasted = np.zeros((len(masks), *size), bool)
    for full, mask, (x1, y1, x2, y2) in zip(pasted, masks.numpy(), boxes.tolist()):
        across, down = mask.shape[1] / max(x2 - x1, 0.1), mask.shape[0] / max(y2 - y1, 0.1)
        # From the middle of an image's pixel to coordinates of the mask.
        to_mask = np.array(
            [[across, 0, (0.5 - x1) * across - 0.5], [0, down, (0.5 - y1) * down - 0.5]]
        )
        full[:] = (
            cv2.warpAffine(mask, to_mask, size[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
            >= MASK_THRESHOLD
        )
    return torch.from_numpy(pasted)
