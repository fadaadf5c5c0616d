from functools import partial

import pytest
import torch
from mmcv.ops import RoIAlign, roi_align
from operators import textbook
from operators.cases import ALIGN_CASES, align, align_case, extract

from mmcv_operators import roi_align as module

close = partial(torch.testing.assert_close, rtol=0)


def is_close(actual, expected):
    """Within 1e-5 of the largest value."""
    for one, other in zip(actual, expected):
        close(one, other, atol=1e-5 * (float(other.abs().max()) if other.numel() else 0))


@pytest.mark.parametrize('seed', range(ALIGN_CASES))
def test_result_and_gradient_are_compiled_mmcvs(seed, compiled):
    expected = (torch.from_numpy(compiled[f'{name}_{seed}']) for name in ('output', 'grad'))
    is_close(align(roi_align, seed), expected)


@pytest.mark.parametrize('seed', range(ALIGN_CASES))
def test_result_and_gradient_are_the_textbooks(seed):
    is_close(align(roi_align, seed), align(textbook.roi_align, seed))


@pytest.mark.parametrize('seed', range(0, ALIGN_CASES, 3))
def test_torchvisions_kernel(seed, torchvision, monkeypatch):
    expected = align(roi_align, seed)
    monkeypatch.setattr(module, 'find_torchvision', lambda _: torchvision)
    is_close(align(roi_align, seed), expected)


@pytest.mark.parametrize('seed', [0, 2, 5, 8])
def test_gradient_is_the_derivative(seed):
    features, rois, arguments, _ = align_case(seed)
    features = features[:, :, :6, :5].double().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda maps: roi_align(maps, rois.double(), *arguments), features
    )


@pytest.mark.parametrize('kernel', ['torch', 'torchvision'])
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_rounded_once(dtype, kernel, monkeypatch, torchvision):
    """RoIs may be more precise than the map."""
    if kernel == 'torchvision':
        monkeypatch.setattr(module, 'find_torchvision', lambda _: torchvision)
    features, rois, arguments, grad = align_case(0)
    half = features.to(dtype).requires_grad_()
    output = roi_align(half, rois, *arguments)
    output.backward(grad.to(dtype))
    features = features.to(dtype).float().requires_grad_()
    expected = roi_align(features, rois, *arguments)
    expected.backward(grad.to(dtype).float())
    close(output, expected.to(dtype), atol=0.01)
    close(half.grad, features.grad.to(dtype), atol=0.01)
    assert output.dtype == half.grad.dtype == dtype


@pytest.mark.parametrize(
    ('roi', 'message'),
    [
        ([2.0, 0, 0, 4, 4], 'of images 0 to 2, but there are 2'),
        ([-1.0, 0, 0, 4, 4], 'of images -1 to 0, but there are 2'),
        ([1.0, 0, 0, float('nan'), 4], 'NaN or infinite'),
        ([1.0, 0, 0, float('inf'), 4], 'NaN or infinite'),
        ([1.0, 4, 0, 0, 4], 'x2 < x1'),
    ],
)
def test_bad_rois(roi, message):
    rois = torch.tensor([[0.0, 0, 0, 4, 4], roi])
    with pytest.raises(ValueError, match=message):
        roi_align(torch.rand(2, 3, 8, 8), rois, 7, 1.0, 0, 'avg', True)


def test_maxima_need_compiled_mmcv():
    with pytest.raises(NotImplementedError, match='needs compiled mmcv'):
        RoIAlign(7, pool_mode='max')(torch.rand(1, 3, 8, 8), torch.zeros(1, 5))


def test_roi_extractor(compiled):
    """P2 to P5, boxes and masks, through mmdet: see `cases.extract`."""
    is_close(extract(), [torch.from_numpy(compiled[f'extracted_{index}']) for index in range(6)])
