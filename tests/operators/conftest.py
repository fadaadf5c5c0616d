from pathlib import Path

import numpy as np
import pytest
import torch
from operators import textbook

from mmcv_operators.kernels import has_torchvision

# torchvision's signatures, in each of its versions since 0.16.
SIGNATURES = (
    'nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor',
    'roi_align(Tensor input, Tensor rois, float spatial_scale, int pooled_height, '
    'int pooled_width, int sampling_ratio, bool aligned) -> Tensor',
    '_roi_align_backward(Tensor grad, Tensor rois, float spatial_scale, int pooled_height, '
    'int pooled_width, int batch_size, int channels, int height, int width, int sampling_ratio, '
    'bool aligned) -> Tensor',
)


def check_dtypes(first, second):
    assert first.dtype == second.dtype and first.dtype != torch.bfloat16


def nms(dets, scores, iou_threshold):
    check_dtypes(dets, scores)
    return textbook.nms(dets, scores, np.float64(iou_threshold), 0)


def roi_align(features, rois, scale, height, width, sampling_ratio, aligned):
    check_dtypes(features, rois)
    return textbook.roi_align(
        features, rois, (height, width), scale, sampling_ratio, 'avg', aligned
    )


def roi_align_backward(grad, rois, scale, height, width, *shape_and_rest):
    check_dtypes(grad, rois)
    *shape, sampling_ratio, aligned = shape_and_rest
    with torch.enable_grad():
        features = grad.new_zeros(shape).requires_grad_()
        output = roi_align(features, rois, scale, height, width, sampling_ratio, aligned)
    return torch.autograd.grad(output, features, grad)[0]


@pytest.fixture(scope='session')
def torchvision():
    """`torch.ops.torchvision`: its kernels for CPUs, or ours of the same signatures."""
    if not has_torchvision('CPU'):
        library = torch.library.Library('torchvision', 'FRAGMENT')
        for signature, kernel in zip(SIGNATURES, (nms, roi_align, roi_align_backward)):
            library.define(signature)
            library.impl(signature.partition('(')[0], kernel, 'CPU')
        yield torch.ops.torchvision
        library._destroy()
    else:
        yield torch.ops.torchvision


@pytest.fixture(scope='session')
def compiled():
    """What compiled mmcv returns for `cases`, written by make_reference.py."""
    return np.load(Path(__file__).with_name('compiled_mmcv.npz'))
