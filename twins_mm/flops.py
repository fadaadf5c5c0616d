"""What a forward pass costs, in multiply-accumulates: the unit that papers call FLOPs."""
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

# All the fused kernels that scaled_dot_product_attention may choose. Which of them exist, and which
# of them torch's counter knows, depends on torch's version; 2.13 counts the first three.
FUSED_ATTENTION = [
    getattr(torch.ops.aten, f'_scaled_dot_product_{kernel}')
    for kernel in ('flash_attention', 'efficient_attention', 'cudnn_attention',
                   'flash_attention_for_cpu', 'fused_attention_overrideable',
                   'attention_math_for_mps')
    if hasattr(torch.ops.aten, f'_scaled_dot_product_{kernel}')]


class Macs(NamedTuple):
    """Multiply-accumulates of convolution and linear layers, and of attention's two products."""

    layers: int
    attention: int


def _attention_flops(query: torch.Size, key: torch.Size, value: torch.Size, *_: Any,
                     **__: Any) -> int:
    return sdpa_flop_count(query, key, value)


class _AttentionCounter(TorchFunctionMode):
    """Counts attention where it is called; below, its math fallback is plain matrix products."""

    flops = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is F.scaled_dot_product_attention:
            self.flops += _attention_flops(*(tensor.shape for tensor in args[:3]))
        return func(*args, **(kwargs or {}))


def count_macs(forward: Callable, *inputs: torch.Tensor) -> Macs:
    """Calls `forward(*inputs)` and counts its convolutions and matrix products.

    The count is the same on every device and for every attention kernel; on the `meta` device
    it takes no memory and no arithmetic. Padded window tokens count, because they are computed.

    >>> count_macs(torch.nn.Linear(3, 5), torch.rand(2, 3))
    Macs(layers=30, attention=0)
    """
    handlers = dict.fromkeys(FUSED_ATTENTION, _attention_flops)
    # no_grad, because recomputed parts of a model make torch 2.1 look for a module `torch.meta`.
    with (torch.no_grad(), FlopCounterMode(display=False, custom_mapping=handlers) as whole,
          _AttentionCounter() as attention):
        forward(*inputs)
    return Macs((whole.get_total_flops() - attention.flops) // 2, attention.flops // 2)
