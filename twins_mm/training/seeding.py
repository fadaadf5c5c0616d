"""Seeds random numbers by the position in a run, so that resumed runs repeat unbroken ones."""
import random
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import count, islice
from typing import Any

import numpy as np
import torch
from mmengine.dataset import InfiniteSampler
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner, set_random_seed
from torch.utils.data import BatchSampler, DataLoader, Dataset, Sampler


@HOOKS.register_module()
class StepSeedHook(Hook):
    """Seeds each training step from its number, and each sample from its position in the run.

    So a resumed run has the same drop path, proposals and augmentation as an unbroken run, with any
    number of data workers; augmentation still differs from epoch to epoch. On a CPU the losses
    repeat step for step. With mmengine's `InfiniteSampler`, a resumed run skips seen samples
    without loading them; with other samplers in an iteration-based loop, mmengine loads them.
    """
    priority = 'VERY_HIGH'

    def before_train(self, runner: Runner) -> None:
        loop = runner.train_loop
        loader, batches = loop.dataloader, loop.dataloader.batch_sampler
        sampler = batches.sampler
        if hasattr(loop, 'dataloader_iterator'):
            if type(batches) is not BatchSampler or type(sampler) is not InfiniteSampler:
                return
            # A new sampler, because mmengine has already drawn from the old one.
            sampler = InfiniteSampler(sampler.dataset, sampler.shuffle, sampler.seed)
            sampler.indices = islice(sampler.indices, loop.iter * batches.batch_size, None)
        batches.sampler = NumberedSampler(sampler, batches.batch_size, runner)
        # torch's data loader fetches a batch with this method if the data set has it.
        loader.dataset.__getitems__ = partial(draw_samples, loader.dataset, runner.seed)
        if hasattr(loop, 'dataloader_iterator'):
            loader._iterator = None  # its workers have a copy of the old data set
            loop.dataloader_iterator = RemainingBatches(loader, loop.iter)

    def before_train_epoch(self, runner: Runner) -> None:
        self._seed(runner)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        self._seed(runner)

    @staticmethod
    def _seed(runner: Runner) -> None:
        set_random_seed(_make_seed(runner.seed, runner.rank, runner.iter))


class Draw(int):
    """An index into a data set with the number of indices drawn before it in the run."""

    number: int

    def __new__(cls, index: int, number: int = 0) -> 'Draw':
        draw = super().__new__(cls, index)
        draw.number = number
        return draw


class NumberedSampler(Sampler):
    """Yields another sampler's indices as `Draw`s, numbered across epochs and processes."""

    def __init__(self, sampler: Sampler, batch_size: int, runner: Runner):
        self.sampler = sampler
        self.batch_size = batch_size
        self.runner = runner

    def __iter__(self) -> Iterator[Draw]:
        world_size = self.runner.world_size
        first = self.runner.iter * self.batch_size * world_size + self.runner.rank
        return map(Draw, self.sampler, count(first, world_size))

    def __len__(self) -> int:
        return len(self.sampler)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sampler, name)


class RemainingBatches:
    """The batches of an iteration-based loop that resumes after `seen` batches."""

    def __init__(self, loader: DataLoader, seen: int):
        self.batches = iter(loader)
        self.seen = seen

    def __next__(self) -> Any:
        # mmengine requests the seen batches one by one and drops them.
        if self.seen:
            self.seen -= 1
            return None
        return next(self.batches)

    def skip_iter(self, num_iters: int) -> None:
        """The maintained forks skip them all at once."""
        self.seen -= num_iters


def draw_samples(dataset: Dataset, seed: int, draws: Sequence[Draw]) -> list:
    """The samples of a batch, each with its own random seed."""
    samples = []
    for draw in draws:
        sample_seed = _make_seed(seed, draw.number)
        random.seed(sample_seed)
        np.random.seed(sample_seed)
        torch.default_generator.manual_seed(sample_seed)
        samples.append(dataset[draw])
    return samples


def _make_seed(*entropy: int) -> int:
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])
