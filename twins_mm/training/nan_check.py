"""Stops a run whose loss is NaN or infinite."""

import math
from typing import Any

import torch
from mmengine.dist import all_gather_object, all_reduce
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ..errors import UserError
from .resuming import list_checkpoints


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stops a run when a loss is NaN or infinite, and keeps such weights out of checkpoints.

    mmengine's RuntimeInfoHook reads every loss anyway, so reading it again waits for nothing.
    """

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        loss = torch.as_tensor((outputs or {}).get('loss', 0.0)).item()
        is_bad = torch.tensor(not math.isfinite(loss), dtype=torch.int)
        all_reduce(is_bad, 'max')  # the processes stop together, and the first one reports
        if is_bad:
            images = [] if math.isfinite(loss) else _list_images(data_batch)
            losses, batches = zip(*all_gather_object((loss, images)))
            loss = next(value for value in losses if not math.isfinite(value))
            _stop(runner, runner.iter + 1, f'{loss} as the loss', sum(batches, []))

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Parameters only: a buffer may hold -inf, as a causal mask does."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if not all(value.isfinite().all() for value in model.parameters()):
            _stop(runner, runner.iter, 'NaN or infinite weights', [])


def _stop(runner: Runner, iteration: int, what: str, images: list[str]) -> None:
    good = next(iter(list_checkpoints(runner.work_dir)), 'none yet')
    named = ''.join(['. The images of this batch:', *(f'\n  {image}' for image in images)])
    raise UserError(
        f'Training stopped at iteration {iteration}, with {what}{named if images else "."}\n'
        f'The last good checkpoint: {good}\n'
        'Look at these images and their annotations. If they are right, a lower learning rate, '
        'optim_wrapper.clip_grad or training without --amp may help.'
    )


def _list_images(data_batch: Any) -> list[str]:
    samples = data_batch.get('data_samples') if isinstance(data_batch, dict) else None
    return [getattr(sample, 'img_path', '(no path)') for sample in samples or ()]
