"""Seeds random numbers by the position in a run, so that resumed runs repeat unbroken ones."""

import random
from collections.abc import Callable, Iterator, Sequence
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

    Checkpoints keep how many images were seen, so a run that resumes in the middle of an epoch,
    with another number of processes or with another batch goes on where the images were left.
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._resumed: dict = {}
        # Images seen before an iteration: these, and so many for each iteration before it.
        self._offset, self._images = 0, 0
        self._epoch_start = 0  # the iteration at which the current epoch began

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if not runner._resume:
            return
        self._resumed = checkpoint.get('meta', {})
        # mmengine resumes the seed too, but if the config has none, the sampler keeps a new one.
        sampler = runner.train_loop.dataloader.batch_sampler.sampler
        if getattr(sampler, 'seed', None) == runner.seed:
            sampler.seed = self._resumed.get('seed', runner.seed)

    def before_train(self, runner: Runner) -> None:
        loop = runner.train_loop
        loader, batches = loop.dataloader, loop.dataloader.batch_sampler
        sampler = batches.sampler
        is_endless = hasattr(loop, 'dataloader_iterator')
        if is_endless and (
            type(batches) is not BatchSampler or type(sampler) is not InfiniteSampler
        ):
            return
        self._count_images(runner, batches.batch_size)
        if is_endless:
            # A new sampler, because mmengine has already drawn from the old one.
            sampler = InfiniteSampler(sampler.dataset, sampler.shuffle, sampler.seed)
            first = self._seen(loop.iter) + runner.rank
            sampler.indices = islice(sampler._infinite_indices(), first, None, runner.world_size)
            self._epoch_start = loop.iter  # the sampler starts here
        else:
            # torch's data loader doesn't let it be assigned.
            vars(loader)['batch_sampler'] = _Iterated(
                batches, lambda batches: islice(batches, runner.iter - self._epoch_start, None)
            )
        # A resumed epoch starts over here, and the batches that it has seen are dropped.
        batches.sampler = _Iterated(
            sampler,
            lambda indices: map(
                Draw, indices, count(self._seen(self._epoch_start) + runner.rank, runner.world_size)
            ),
        )
        # torch's data loader fetches a batch with this method if the data set has it.
        loader.dataset.__getitems__ = partial(draw_samples, loader.dataset, runner.seed)
        if is_endless:
            loader._iterator = None  # its workers have a copy of the old data set
            loop.dataloader_iterator = RemainingBatches(loader, loop.iter)

    def _count_images(self, runner: Runner, batch_size: int) -> None:
        self._images = runner.world_size * batch_size
        self._batch = f'{self._images} images ({runner.world_size} x {batch_size})'
        before = self._resumed.get('batch', self._batch)
        if before != self._batch:
            runner.logger.warning(f'An iteration was {before} before, and is {self._batch} now.')
        at_this_batch = runner.iter * self._images
        self._offset = self._resumed.get('images_seen', at_this_batch) - at_this_batch
        self._epoch_start = runner.iter - self._resumed.get('images_of_epoch', 0) // self._images

    def _seen(self, iteration: int) -> int:
        return self._offset + iteration * self._images

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if self._images:
            meta = checkpoint['meta']
            of_epoch = (meta['iter'] - self._epoch_start) * self._images
            meta.update(
                images_seen=self._seen(meta['iter']), images_of_epoch=of_epoch, batch=self._batch
            )

    def before_train_epoch(self, runner: Runner) -> None:
        self._seed(runner)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        self._seed(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        self._epoch_start = runner.iter

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


class _Iterated(Sampler):
    """Another sampler of indices or batches, with what `change` makes of its iteration."""

    def __init__(self, sampler: Sampler, change: Callable[[Sampler], Iterator]):
        self.sampler = sampler
        self.change = change

    def __iter__(self) -> Iterator:
        return self.change(self.sampler)

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
