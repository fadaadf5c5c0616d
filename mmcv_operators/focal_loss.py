"""The focal loss of logits: Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017."""

import torch
from torch.nn import functional as F


def sigmoid_focal_loss_forward(
    logits: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor,
    output: torch.Tensor,
    gamma: float,
    alpha: float,
) -> None:
    """Fills `output`, `(N, C)`, in the dtype of `logits`.

    Args:
        logits: `(N, C)`.
        target: `(N,)`: classes, int64; C is background.
        weight: `(C,)`, of the target's class, or empty; background has 1.
        output: The loss of each logit.
        gamma: How much less easy logits count.
        alpha: The weight of the target's logit; the others have `1 - alpha`.
    """
    output.copy_(_loss(logits.float(), target, weight, gamma, alpha))


def sigmoid_focal_loss_backward(
    logits: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor,
    grad_input: torch.Tensor,
    gamma: float,
    alpha: float,
) -> None:
    """Fills `grad_input`, `(N, C)`, with the derivative of each loss by its logit."""
    with torch.enable_grad():
        leaf = logits.detach().float().requires_grad_()
        loss = _loss(leaf, target, weight, gamma, alpha)
    grad_input.copy_(torch.autograd.grad(loss, leaf, torch.ones_like(loss))[0])


def _loss(
    logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor, gamma: float, alpha: float
) -> torch.Tensor:
    is_target = target[:, None] == torch.arange(logits.shape[1], device=target.device)
    signed = torch.where(is_target, logits, -logits)  # sigmoid of it is the right answer's
    alphas = torch.where(is_target, alpha, 1 - alpha).to(logits)
    # A power of the sigmoid would have no gradient where that is rounded to 0.
    loss = -alphas * (gamma * F.logsigmoid(-signed)).exp() * F.logsigmoid(signed)
    if weight.numel():
        loss = loss * F.pad(weight.to(loss), (0, 1), value=1.0)[target][:, None]
    return loss
