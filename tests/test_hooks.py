from types import SimpleNamespace

import torch

from twins_mm.hooks import StepSeedHook


def draw(hook_point, seed=0, rank=0, iteration=0):
    runner = SimpleNamespace(seed=seed, rank=rank, iter=iteration)
    torch.rand(3)
    hook = StepSeedHook()
    if hook_point == 'iter':
        hook.before_train_iter(runner, batch_idx=7)
    else:
        hook.before_train_epoch(runner)
    return torch.rand(1).item()


def test_step_alone_decides():
    assert draw('iter', iteration=5) == draw('iter', iteration=5) == draw('epoch', iteration=5)


def test_seed_rank_and_iteration_count():
    draws = [draw('iter'), draw('iter', seed=1), draw('iter', rank=1), draw('iter', iteration=1),
             draw('iter', seed=1, rank=1)]
    assert len(set(draws)) == len(draws)
