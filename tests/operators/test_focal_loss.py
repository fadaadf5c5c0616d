import pytest
import torch
from mmcv.ops import sigmoid_focal_loss
from mmdet.models.losses.focal_loss import py_sigmoid_focal_loss
from torch.nn import functional as F


def make(dtype=torch.float32, scale=3):
    """Logits of 40 boxes and 6 classes, targets with background, and weights of classes."""
    torch.manual_seed(0)
    logits = (torch.randn(40, 6) * scale).to(dtype).requires_grad_()
    return logits, torch.arange(40) % 7, torch.rand(6).to(dtype)


@pytest.mark.parametrize(('gamma', 'alpha'), [(2.0, 0.25), (0.0, 0.5), (1.5, 0.75)])
def test_loss_and_gradient_are_mmdets(gamma, alpha):
    logits, target, _ = make()
    one_hot = F.one_hot(target, 7)[:, :6]
    grad = torch.rand(40, 6)
    expected = py_sigmoid_focal_loss(logits, one_hot, gamma=gamma, alpha=alpha, reduction='none')
    (expected_grad,) = torch.autograd.grad(expected, logits, grad)
    loss = sigmoid_focal_loss(logits, target, gamma, alpha, None, 'none')
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(torch.autograd.grad(loss, logits, grad)[0], expected_grad)


def test_weights_are_of_the_targets_class():
    logits, target, weight = make()
    plain = sigmoid_focal_loss(logits, target, 2.0, 0.25, None, 'none')
    of_target = torch.cat((weight, torch.ones(1)))[target]
    loss = sigmoid_focal_loss(logits, target, 2.0, 0.25, weight, 'none')
    torch.testing.assert_close(loss, plain * of_target[:, None])


@pytest.mark.parametrize('gamma', [0.5, 2.0])
def test_extreme_logits_have_finite_gradients(gamma):
    """In float32, the sigmoid of 200 is 1 and its logarithm's derivative 0 / 0."""
    logits = torch.tensor([[200.0, -200.0, 0.0]]).requires_grad_()
    sigmoid_focal_loss(logits, torch.tensor([1]), gamma, 0.25, None, 'sum').backward()
    assert logits.grad.isfinite().all() and logits.grad[0, :2].abs().min() > 0.2


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_rounded_once(dtype):
    logits, target, _ = make(dtype)
    exact = logits.detach().float().requires_grad_()
    for tensor in (logits, exact):
        sigmoid_focal_loss(tensor, target, 2.0, 0.25, None, 'sum').backward()
    assert logits.grad.dtype == dtype
    torch.testing.assert_close(logits.grad, exact.grad.to(dtype))
