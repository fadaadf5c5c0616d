"""Mixed precision whose boxes and scores stay in float32, and training in it on a CPU."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from mmengine.runner import autocast
from mmengine.utils import apply_to
from torch import nn


@contextmanager
def mixed_precision(model: nn.Module, enabled: bool = True) -> Iterator[None]:
    """Inside, networks compute in float16 on a GPU, in bfloat16 on a CPU.

    But heads of `model` return float32, and RoI extractors get it: mmdet makes anchors in the dtype
    of a head's scores, and rounds RoIs to that of the features. bfloat16 has 8 bits, so beyond 512
    pixels they would move by up to 2 pixels.
    """
    with ExitStack() as stack:
        stack.enter_context(autocast(enabled=enabled))
        for name, module in model.named_modules() if enabled else ():
            kind = type(module).__name__
            if kind.endswith('RoIExtractor'):
                stack.enter_context(
                    module.register_forward_pre_hook(lambda module, inputs: _to_float32(inputs))
                )
            # The last layer of mmseg's heads: it calls their `forward`, without hooks.
            elif kind.endswith('Head') or name.endswith('conv_seg'):
                stack.enter_context(
                    module.register_forward_hook(lambda module, inputs, output: _to_float32(output))
                )
        yield


def _to_float32(nest: Any) -> Any:
    """A copy of nested lists, tuples and dicts with float32 instead of half precision."""
    return apply_to(
        nest,
        lambda value: getattr(value, 'dtype', None) in (torch.float16, torch.bfloat16),
        torch.Tensor.float,
    )


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Trains in bfloat16 on a CPU; mmengine's AmpOptimWrapper refuses to.

    bfloat16 has the range of float32, so the loss needs no scale.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """What a step's forward pass is computed in."""
        with super().optim_context(model), mixed_precision(model):
            yield
