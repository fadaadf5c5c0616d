"""Non-maximum suppression as an operator of torch, and its translation to ONNX."""

from typing import Any

import torch
from onnxscript import opset20 as op


@torch.library.custom_op('twins_mm::suppress', mutates_args=())
def suppress(
    boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float, max_boxes: int
) -> torch.Tensor:
    """Non-maximum suppression: `scores`, with 0 for boxes that are suppressed.

    Args:
        boxes: `(B, K, 4)`: x1, y1, x2, y2.
        scores: `(B, K)`; 0 where there is no box.
        iou_threshold: If two boxes overlap by more than this, the one with the lower score is
            suppressed.
        max_boxes: How many are kept in each image at most.
    """
    from mmcv.ops import nms

    kept = torch.zeros_like(scores)
    for image in range(len(boxes)):
        found = scores[image].nonzero()[:, 0]
        _, index = nms(boxes[image, found], scores[image, found], iou_threshold, max_num=max_boxes)
        kept[image, found[index]] = scores[image, found[index]]
    return kept


@suppress.register_fake
def _(
    boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float, max_boxes: int
) -> torch.Tensor:
    return torch.empty_like(scores)


def _suppress_in_onnx(boxes: Any, scores: Any, iou_threshold: float, max_boxes: int) -> Any:
    """The same by ONNX's own operator, which returns triples of image, class and box."""
    triples = op.NonMaxSuppression(
        boxes,
        op.Unsqueeze(scores, op.Constant(value_ints=[1])),
        op.Constant(value_ints=[max_boxes]),
        op.Constant(value_floats=[iou_threshold]),
        op.Constant(value_floats=[0.0]),
    )
    places = op.Gather(triples, op.Constant(value_ints=[0, 2]), axis=1)
    return op.ScatterND(op.Mul(scores, 0.0), places, op.GatherND(scores, places))


SUPPRESS_IN_ONNX = {torch.ops.twins_mm.suppress.default: _suppress_in_onnx}
