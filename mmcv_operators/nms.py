"""Non-maximum suppression."""

import torch

from .kernels import find_torchvision
from .precision import as_computed

# Boxes that are compared with each other at once. Measured: 64 to 256 are alike, with 5,000 boxes.
_BLOCK = 128


@torch.compiler.disable
def nms(
    boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float, offset: int
) -> torch.Tensor:
    """The indices of the boxes that are kept, int64, from the highest score.

    Args:
        boxes: `(N, 4)`: x1, y1, x2, y2.
        scores: `(N,)`. Among equal scores, the first counts as higher.
        iou_threshold: A box is dropped if its IoU with a kept one of a higher score is larger;
            compared in the precision of the boxes.
        offset: 0, or 1 if a box includes the pixels at x2 and y2.

    Raises:
        ValueError: Boxes and scores differ in number; on a CPU also if a score is NaN, which CUDA
            would have to wait for.
    """
    if len(boxes) != len(scores):
        raise ValueError(f'nms needs a score for each box, not {len(scores)} for {len(boxes)}')
    if scores.device.type == 'cpu' and scores.isnan().any():
        raise ValueError('nms: scores are NaN, as if the model had diverged')
    boxes = as_computed(boxes)
    torchvision = find_torchvision(boxes)
    if torchvision is None:
        return _suppress(boxes, scores, iou_threshold, offset)
    # It has no offset, and compares with a double.
    boxes = boxes + boxes.new_tensor([0, 0, offset, offset])
    threshold = boxes.new_tensor(iou_threshold, device='cpu').item()
    return torchvision.nms(boxes, scores.to(boxes), threshold)


def _suppress(
    boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float, offset: int
) -> torch.Tensor:
    """`nms` block by block: each drops boxes within itself, then from what is left."""
    rest = scores.sort(descending=True, stable=True).indices
    sides = boxes[rest].T.contiguous()
    kept = []
    while len(rest):
        block, sides = sides.split([min(_BLOCK, len(rest)), max(0, len(rest) - _BLOCK)], 1)
        over = (_ious(block, block, offset) > iou_threshold).triu(1)
        is_kept = _resolve(over)
        kept.append(rest[:_BLOCK][is_kept])
        dropped = (_ious(block[:, is_kept], sides, offset) > iou_threshold).any(0)
        rest, sides = rest[_BLOCK:][~dropped], sides[:, ~dropped]
    return torch.cat(kept) if kept else rest


def _resolve(over: torch.Tensor) -> torch.Tensor:
    """Which boxes of a block are kept, `(N,)`.

    A box is kept if no kept box before it is `over` it, `(N, N)`. Repeating that from any start
    settles at least one more box each time, and in practice all in a few times.
    """
    is_kept = ~over.any(0)
    while True:
        settled = ~(over & is_kept[:, None]).any(0)
        if torch.equal(settled, is_kept):
            return is_kept
        is_kept = settled


def _ious(first: torch.Tensor, second: torch.Tensor, offset: int) -> torch.Tensor:
    """`(4, M)` and `(4, N)` to `(M, N)`, rounded as in mmcv's loop; NaN if neither has an area."""
    x1, y1, x2, y2 = first[:, :, None]
    other_x1, other_y1, other_x2, other_y2 = second[:, None]
    widths = (torch.minimum(x2, other_x2) - torch.maximum(x1, other_x1) + offset).clamp(min=0)
    heights = (torch.minimum(y2, other_y2) - torch.maximum(y1, other_y1) + offset).clamp(min=0)
    shared = widths * heights
    area = (x2 - x1 + offset) * (y2 - y1 + offset)
    other_area = (other_x2 - other_x1 + offset) * (other_y2 - other_y1 + offset)
    return shared / (area + other_area - shared)
