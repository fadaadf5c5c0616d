"""The learning rate of the released classifiers."""

import math
from typing import Any

from mmengine.optim import OptimWrapper, _ParamScheduler
from mmengine.registry import PARAM_SCHEDULERS
from torch.optim import Optimizer


@PARAM_SCHEDULERS.register_module()
class LateCosineLR(_ParamScheduler):
    """A linear warm-up, then the rest of a cosine, an epoch late, as the authors' logs have it.

    The released code, like DeiT's, tells timm's scheduler the number of the epoch that has ended,
    not of the next one: the first two epochs have the learning rate of epoch 0, and that of the
    last epoch is never reached. mmengine's schedulers continue from the learning rate that they
    find, so none of them can follow a warm-up with a cosine that began at epoch 0.

    Args:
        optimizer: The optimizer, or mmengine's wrapper of it.
        epochs: The length of the cosine, with the warm-up.
        warm_up_epochs: The length of the warm-up.
        warm_up_lr: Where the warm-up begins, whatever the optimizer's learning rate.
        eta_min: Where the cosine ends, whatever the optimizer's learning rate.

    Source: `CosineLRScheduler` of timm 0.3.2, as `main.py` of the released code calls it.
    """

    def __init__(
        self,
        optimizer: Optimizer | OptimWrapper,
        epochs: int,
        warm_up_epochs: int,
        warm_up_lr: float,
        eta_min: float,
        **kwargs: Any,
    ):
        self.epochs, self.warm_up_epochs = epochs, warm_up_epochs
        self.warm_up_lr, self.eta_min = warm_up_lr, eta_min
        super().__init__(optimizer, 'lr', **kwargs)

    def _get_value(self) -> list[float]:
        epoch = max(self.last_step - 1, 0)
        if epoch < self.warm_up_epochs:
            start, share = self.warm_up_lr, epoch / self.warm_up_epochs
        else:
            start, share = self.eta_min, (1 + math.cos(math.pi * epoch / self.epochs)) / 2
        return [start + share * (base - start) for base in self.base_values]
