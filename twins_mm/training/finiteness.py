"""Stops a run whose loss is NaN or infinite."""
import math
from typing import Any

import torch
from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ..checkpoints.files import weights_of
from ..errors import UserError
from .resuming import list_checkpoints

READ_EVERY = 10


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stops a run when a loss is NaN or infinite, and keeps such weights out of checkpoints.

    Reading a loss waits for the GPU, so losses are read every ten iterations, and before an epoch
    ends or a checkpoint is written.
    """

    def __init__(self):
        self.unread: list[tuple[int, torch.Tensor, list[str]]] = []

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None,
                         outputs: dict | None = None) -> None:
        if outputs and 'loss' in outputs:
            self.unread.append((runner.iter + 1, outputs['loss'], _list_images(data_batch)))
        if self.every_n_train_iters(runner, READ_EVERY) or self.is_last_train_iter(runner):
            self._read_all(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        self._read_all(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Called in one process, whose weights the others' losses have changed too."""
        images = self.unread[-1][-1] if self.unread else []
        _stop_at(self._read(), runner)
        if not all(value.isfinite().all() for value in weights_of(checkpoint).values()):
            _stop_at((runner.iter, 'NaN or infinite weights', images), runner)

    def _read_all(self, runner: Runner) -> None:
        found = filter(None, all_gather_object(self._read()))
        _stop_at(min(found, default=None), runner)

    def _read(self) -> tuple[int, str, list[str]] | None:
        """Iteration, loss and images of the first step since the last call that went wrong."""
        steps, self.unread = self.unread, []
        losses = torch.stack([loss for _, loss, _ in steps]).tolist() if steps else []
        return next(((iteration, f'{loss} as the loss', images)
                     for (iteration, _, images), loss in zip(steps, losses)
                     if not math.isfinite(loss)), None)


def _stop_at(step: tuple[int, str, list[str]] | None, runner: Runner) -> None:
    if step is None:
        return
    iteration, what, images = step
    good = next(iter(list_checkpoints(runner.work_dir)), 'none yet')
    raise UserError('\n  '.join([
        f'Training stopped at iteration {iteration}, with {what}. The images of this batch:',
        *images]) + f'\nThe last good checkpoint: {good}\n'
        'Look at these images and their annotations. If they are right, a lower learning rate, '
        'optim_wrapper.clip_grad or training without --amp may help.')


def _list_images(data_batch: Any) -> list[str]:
    samples = data_batch.get('data_samples') if isinstance(data_batch, dict) else None
    return [getattr(sample, 'img_path', '(no path)') for sample in samples or ()]
