"""What a forward pass costs, in multiply-accumulates: the unit that papers call FLOPs."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count


class Macs(NamedTuple):
    """Multiply-accumulates of convolution and linear layers, and of attention's two products."""

    layers: int
    attention: int


class _AttentionCounter(TorchFunctionMode):
    """Counts attention instead of computing it: torch's counter knows only some of its kernels."""

    flops = 0

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        if func is F.scaled_dot_product_attention:
            query, key, value = args[:3]
            self.flops += sdpa_flop_count(query.shape, key.shape, value.shape)
            return query.new_zeros(*query.shape[:-1], value.shape[-1])
        if func is F.linear and args[0].ndim > 2:
            # Else torch makes a batched product of some, as if they were attention.
            x, *weights = args
            return func(x.flatten(0, -2), *weights).unflatten(0, x.shape[:-1])
        return func(*args, **(kwargs or {}))


def count_macs(forward: Callable, *inputs: torch.Tensor) -> Macs:
    """Calls `forward(*inputs)` and counts its convolutions and matrix products.

    The count is the same on every device; on `meta`, it takes no memory and no arithmetic. Padded
    window tokens count, because they are computed. Batched products are attention's.

    >>> count_macs(torch.nn.Linear(3, 5), torch.rand(2, 3))
    Macs(layers=30, attention=0)
    """
    # no_grad, because recomputed parts of a model make torch 2.1 look for a module `torch.meta`.
    with (
        torch.no_grad(),
        FlopCounterMode(display=False) as layers,
        _AttentionCounter() as attention,
    ):
        forward(*inputs)
    products = sum(
        count
        for operator, count in layers.get_flop_counts().get('Global', {}).items()
        if operator in (torch.ops.aten.bmm, torch.ops.aten.baddbmm)
    )
    return Macs((layers.get_total_flops() - products) // 2, (attention.flops + products) // 2)
