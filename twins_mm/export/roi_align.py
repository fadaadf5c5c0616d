"""RoIAlign as an operator of torch, and its translation to ONNX."""

from typing import Any

import torch
from onnxscript import opset20 as op


@torch.library.custom_op('twins_mm::align', mutates_args=())
def align(
    features: torch.Tensor, rois: torch.Tensor, size: int, scale: float, sampling_ratio: int
) -> torch.Tensor:
    """RoIAlign of mmcv, with `aligned=True` and averages.

    Args:
        features: `(B, C, H, W)`.
        rois: `(K, 5)`: index of the image; x1, y1, x2, y2.
        size: Height and width of the result, `(K, C, size, size)`.
        scale: The scale of the features, relative to the boxes.
        sampling_ratio: Samples per bin and axis; 0 for one per pixel of the features, and zeros
            as the result where a box has no area.
    """
    from mmcv.ops import roi_align

    return roi_align(features, rois, (size, size), scale, sampling_ratio, 'avg', True)


@align.register_fake
def _(
    features: torch.Tensor, rois: torch.Tensor, size: int, scale: float, sampling_ratio: int
) -> torch.Tensor:
    return features.new_empty(rois.shape[0], features.shape[1], size, size)


def _align_in_onnx(features: Any, rois: Any, size: int, scale: float, sampling_ratio: int) -> Any:
    """The same by ONNX's own operator, which takes boxes and images apart."""
    boxes = op.Gather(rois, op.Constant(value_ints=[1, 2, 3, 4]), axis=1)
    images = op.Cast(op.Gather(rois, op.Constant(value_int=0), axis=1), to=7)  # int64
    return op.RoiAlign(
        features,
        boxes,
        images,
        output_height=size,
        output_width=size,
        spatial_scale=scale,
        sampling_ratio=sampling_ratio,
        mode='avg',
        coordinate_transformation_mode='half_pixel',
    )


ALIGN_IN_ONNX = {torch.ops.twins_mm.align.default: _align_in_onnx}
