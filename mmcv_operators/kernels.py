"""Which kernels compute: torchvision's on CUDA, plain torch everywhere else."""

from functools import cache
from importlib import import_module
from typing import Any

import torch

_USED = ('nms', 'roi_align', '_roi_align_backward')
_has_kernel = torch._C._dispatch_has_kernel_for_dispatch_key


def find_torchvision(tensor: torch.Tensor) -> Any:
    """`torch.ops.torchvision` if its CUDA kernels can compute on `tensor`; None for plain torch.

    Deterministic runs take plain torch, because torchvision's RoIAlign adds gradients in no fixed
    order.
    """
    usable = (
        tensor.is_cuda
        and not torch.are_deterministic_algorithms_enabled()
        and has_torchvision('CUDA')
    )
    return torch.ops.torchvision if usable else None


@cache
def has_torchvision(key: str) -> bool:
    """Whether torchvision has kernels for a dispatch key of torch, such as 'CUDA'.

    An import proves nothing: torchvision also loads without its compiled part, or with one for
    CPUs alone.
    """
    try:
        import_module('torchvision')
    except Exception:  # for another torch, it raises anything
        return False
    try:
        return all(_has_kernel(f'torchvision::{name}', key) for name in _USED)
    except RuntimeError:  # no such operator
        return False


def name_backend(device: str) -> str:
    """What computes on a type of device, 'cpu' or 'cuda', with its version."""
    if device == 'cuda' and has_torchvision('CUDA'):
        return f'torchvision {import_module("torchvision").__version__}'
    return f'torch {torch.__version__}'
