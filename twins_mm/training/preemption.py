"""Stops a run on a signal, so that it can go on later."""

import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_reduce, barrier
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ..files.atomic_write import replacing
from .atomic_checkpoints import BACKEND

CHECKPOINT = 'stopped.pth'
STOPPED = 75  # EX_TEMPFAIL in sysexits.h: try again later
AGREE_EVERY = 10


@HOOKS.register_module()
class PreemptionHook(Hook):
    """On SIGTERM or SIGUSR1, saves `stopped.pth` between two steps and exits with status 75.

    A second signal ends the process at once. Several processes have to stop at the same step: they
    ask each other every ten iterations, which costs less than asking in each step, and a signal to
    one of them is enough. It waits for a validation, and for the last of accumulated gradients.
    """

    priority = 'HIGHEST'

    def __init__(self) -> None:
        self.received = self.agreed = 0

    def before_train(self, runner: Runner) -> None:
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, self._receive)
        for loop in filter(None, (runner.train_loop, runner.val_loop)):
            loop.dataloader.worker_init_fn = partial(
                start_in_own_group, loop.dataloader.worker_init_fn
            )

    def after_train(self, runner: Runner) -> None:
        _let_signals_kill()

    def _receive(self, number: int, _: object) -> None:
        self.received = number
        _let_signals_kill()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        if runner.world_size == 1:
            self.agreed = self.received
        elif runner.iter % AGREE_EVERY == 0:
            received = torch.tensor(self.received)
            all_reduce(received, 'max')
            self.agreed = int(received)
        if self.agreed and runner.optim_wrapper.should_update():
            self._stop(runner)

    def _stop(self, runner: Runner) -> None:
        path = Path(runner.work_dir, CHECKPOINT)
        runner.save_checkpoint(
            runner.work_dir,
            path.name,
            meta=dict(epoch=runner.epoch, iter=runner.iter),
            backend_args=dict(backend=BACKEND),
        )
        if runner.rank == 0:
            with replacing(Path(runner.work_dir, 'last_checkpoint')) as pointer:
                pointer.write_text(str(path))
        # A launcher ends all processes when the first one exits, and srun reports their statuses.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        barrier()
        runner.logger.warning(
            f'Stopped by {signal.Signals(self.agreed).name} after iteration {runner.iter}. '
            f'To go on from {path}: --resume'
        )
        sys.exit(STOPPED)


def start_in_own_group(start: Callable[[int], None] | None, worker: int) -> None:
    """Starts a data worker: torchrun signals whole process groups, and the last steps need data.

    Without the run's process, the worker ends by itself within seconds.
    """
    os.setpgrp()
    if start:
        start(worker)


def _let_signals_kill() -> None:
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_DFL)
