import pytest
import torch
from mmcv.ops.multi_scale_deform_attn import (
    MultiScaleDeformableAttnFunction,
    multi_scale_deformable_attn_pytorch,
)

SHAPES = torch.tensor([[6, 9], [3, 5], [1, 2]])
STARTS = torch.tensor([0, 54, 69])


def make(dtype=torch.float32):
    """Values, locations inside and outside of the maps, and weights; two images, two heads."""
    torch.manual_seed(0)
    return [
        tensor.to(dtype).requires_grad_()
        for tensor in (
            torch.randn(2, 71, 2, 4),
            torch.rand(2, 10, 2, 3, 5, 2) * 1.4 - 0.2,
            torch.rand(2, 10, 2, 3, 5),
        )
    ]


def apply(value, locations, weights):
    return MultiScaleDeformableAttnFunction.apply(value, SHAPES, STARTS, locations, weights, 64)


def gradients(output, leaves):
    return torch.autograd.grad(
        output, leaves, torch.linspace(-1, 1, output.numel()).view_as(output).to(output.dtype)
    )


def test_output_and_gradients_are_mmcvs_for_cpus():
    leaves = make()
    value, locations, weights = leaves
    expected = multi_scale_deformable_attn_pytorch(value, SHAPES, locations, weights)
    output = apply(*leaves)
    torch.testing.assert_close(output, expected)
    for grad, expected_grad in zip(gradients(output, leaves), gradients(expected, leaves)):
        torch.testing.assert_close(grad, expected_grad)


def test_gradients_are_the_derivatives():
    leaves = [
        tensor.detach()[:1, : 71 if index == 0 else 2].double().requires_grad_()
        for index, tensor in enumerate(make())
    ]
    assert torch.autograd.gradcheck(apply, leaves)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_rounded_once(dtype):
    leaves = make(dtype)
    exact = [tensor.detach().float().requires_grad_() for tensor in leaves]
    output, expected = apply(*leaves), apply(*exact)
    torch.testing.assert_close(output, expected.to(dtype))
    for grad, exact_grad in zip(gradients(output, leaves), gradients(expected, exact)):
        assert grad.dtype == dtype
        torch.testing.assert_close(grad.float(), exact_grad, atol=0.05, rtol=0.05)
