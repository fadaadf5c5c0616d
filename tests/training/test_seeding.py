import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, MODELS
from mmengine.runner import Runner
from torch import nn

from twins_mm.training.seeding import StepSeedHook

SIZE, BATCH, SEED = 7, 2, 3
INFINITE, SHUFFLED = 'InfiniteSampler', 'DefaultSampler'


@DATASETS.register_module()
class AugmentedIndices:
    """Each sample is its index and a number from each of the three random generators."""

    def __len__(self):
        return SIZE

    def __getitem__(self, index):
        return torch.tensor([index, random.random(), np.random.rand(), torch.rand(1).item()])


@MODELS.register_module()
class Recorder(BaseModel):
    """Records its batches, and a random number drawn in each step."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.batches, self.drawn = [], []

    def forward(self, *samples, mode):
        self.batches.append(torch.stack(samples))
        self.drawn.append(torch.rand(1).item())
        return dict(loss=self.weight.sum())


def train(work_dir, sampler, end, workers=0, resume=None, batch=BATCH, save_by_epoch=None):
    """Trains for `end` iterations, or epochs with `DefaultSampler`; returns its `Recorder`."""
    train_cfg = (
        dict(by_epoch=False, max_iters=end)
        if sampler == INFINITE
        else dict(by_epoch=True, max_epochs=end)
    )
    if save_by_epoch is None:
        save_by_epoch = train_cfg['by_epoch']
    runner = Runner(
        dict(type='Recorder'),
        str(work_dir),
        randomness=dict(seed=SEED),
        resume=bool(resume),
        load_from=resume,
        train_cfg=train_cfg,
        default_scope='mmengine',
        experiment_name=f'{work_dir.name}_{end}_{resume is not None}',
        log_level='ERROR',
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        default_hooks=dict(
            step_seed=dict(type='StepSeedHook'),
            preemption=dict(type='PreemptionHook'),
            checkpoint=dict(type='CheckpointHook', interval=1, by_epoch=save_by_epoch),
        ),
        train_dataloader=dict(
            batch_size=batch,
            num_workers=workers,
            persistent_workers=workers > 0,
            collate_fn=dict(type='pseudo_collate'),
            dataset=dict(type='AugmentedIndices'),
            sampler=dict(type=sampler, shuffle=True),
        ),
    )
    runner.train()
    return runner.model


@pytest.mark.parametrize(
    ('sampler', 'checkpoint', 'seen'), [(INFINITE, 'iter_3.pth', 3), (SHUFFLED, 'epoch_1.pth', 4)]
)
@pytest.mark.parametrize('workers', [(0, 0), (2, 2), (1, 3)])
def test_resumed_run_repeats_an_unbroken_one(sampler, checkpoint, seen, workers, tmp_path):
    """The same images and random numbers, whatever the number of data workers before and after."""
    before, after = workers
    end = 6 if sampler == INFINITE else 2
    whole = train(tmp_path / 'whole', sampler, end, before)
    resumed = train(tmp_path / 'resumed', sampler, end, after, str(tmp_path / 'whole' / checkpoint))
    assert len(resumed.batches) == len(whole.batches) - seen > 0
    for ours, theirs in zip(resumed.batches, whole.batches[seen:]):
        assert ours.equal(theirs)
    assert resumed.drawn == whole.drawn[seen:]


@pytest.mark.parametrize(
    ('sampler', 'checkpoint', 'end', 'seen'),
    [(INFINITE, 'iter_2.pth', 4, 2), (SHUFFLED, 'epoch_1.pth', 2, 4)],
)
def test_run_without_a_seed_resumes_its_own(sampler, checkpoint, end, seen, tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), 'SEED', None)
    whole = train(tmp_path / 'whole', sampler, end)
    resumed = train(tmp_path / 'resumed', sampler, end, resume=str(tmp_path / 'whole' / checkpoint))
    assert torch.cat(resumed.batches).equal(torch.cat(whole.batches[seen:]))


def test_another_batch_goes_on_with_the_images_that_come_next(tmp_path):
    """Twice, as the iterations before the second time had different batches."""
    whole = torch.cat(train(tmp_path / 'whole', INFINITE, 9).batches)
    train(tmp_path / 'run', INFINITE, 2, resume=str(tmp_path / 'whole/iter_1.pth'), batch=5)
    last = train(tmp_path / 'run', INFINITE, 4, resume=str(tmp_path / 'run/iter_2.pth'), batch=3)
    assert torch.cat(last.batches).equal(whole[BATCH + 5 : BATCH + 5 + 6])


def test_another_batch_goes_on_in_the_middle_of_an_epoch(tmp_path):
    whole = train(tmp_path / 'whole', SHUFFLED, 2, save_by_epoch=False)
    resumed = train(
        tmp_path / 'run', SHUFFLED, 2, resume=str(tmp_path / 'whole/iter_2.pth'), batch=2 * BATCH
    )
    assert [len(batch) for batch in resumed.batches] == [3, 4, 3]
    assert torch.cat(resumed.batches).equal(torch.cat(whole.batches[2:]))


def test_checkpoint_without_the_number_of_images(tmp_path):
    whole = train(tmp_path / 'whole', INFINITE, 4)
    checkpoint = torch.load(tmp_path / 'whole/iter_2.pth', weights_only=False)
    for name in ('images_seen', 'images_of_epoch', 'batch'):
        del checkpoint['meta'][name]
    torch.save(checkpoint, tmp_path / 'old.pth')
    resumed = train(tmp_path / 'run', INFINITE, 4, resume=str(tmp_path / 'old.pth'))
    assert torch.cat(resumed.batches).equal(torch.cat(whole.batches[2:]))


def test_seen_samples_are_not_loaded_again(tmp_path, monkeypatch):
    train(tmp_path / 'run', INFINITE, 1)
    path = tmp_path / 'run/iter_1.pth'
    checkpoint = torch.load(path, weights_only=False)
    checkpoint['meta'].update(iter=144_000, images_seen=144_000 * BATCH)
    torch.save(checkpoint, path)

    loaded, load = [], AugmentedIndices.__getitem__
    monkeypatch.setattr(
        AugmentedIndices,
        '__getitem__',
        lambda dataset, index: (loaded.append(int(index)), load(dataset, index))[1],
    )
    train(tmp_path / 'run', INFINITE, 144_003, resume=str(path))
    generator = torch.Generator().manual_seed(SEED)
    indices = [
        index
        for _ in range(144_003 * BATCH // SIZE + 1)
        for index in torch.randperm(SIZE, generator=generator).tolist()
    ]
    assert loaded == indices[144_000 * BATCH : 144_003 * BATCH]


@pytest.mark.parametrize('sampler', [INFINITE, SHUFFLED])
@pytest.mark.parametrize('workers', [0, 2])
def test_augmentation_differs_each_time_an_image_is_seen(sampler, workers, tmp_path):
    end = 3 * SIZE // BATCH if sampler == INFINITE else 3
    samples = torch.cat(train(tmp_path / 'run', sampler, end, workers).batches)
    assert len(samples) >= 3 * SIZE - 1
    for generator in samples[:, 1:].T:
        assert len(generator.unique()) == len(samples)


def draw(hook_point, seed=0, rank=0, iteration=0):
    runner = SimpleNamespace(seed=seed, rank=rank, iter=iteration)
    torch.rand(3)
    hook = StepSeedHook()
    if hook_point == 'iter':
        hook.before_train_iter(runner, batch_idx=7)
    else:
        hook.before_train_epoch(runner)
    return torch.rand(1).item()


def test_seed_depends_only_on_the_step():
    assert draw('iter', iteration=5) == draw('iter', iteration=5) == draw('epoch', iteration=5)


def test_seed_depends_on_seed_rank_and_iteration():
    draws = [
        draw('iter'),
        draw('iter', seed=1),
        draw('iter', rank=1),
        draw('iter', iteration=1),
        draw('iter', seed=1, rank=1),
    ]
    assert len(set(draws)) == len(draws)
