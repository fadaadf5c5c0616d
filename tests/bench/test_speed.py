"""Ours against the fixed reference, in turns in one process: never an absolute time."""
import time

import pytest
import torch

from twins_mm.bench.peers import PEERS


def fastest(steps, rounds=4):
    """The shortest time of each step; they take turns."""
    times = [[] for _ in steps]
    for _ in range(rounds):
        for step, seconds in zip(steps, times):
            start = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - start)
    return [min(seconds) for seconds in times]


@pytest.mark.parametrize(('training', 'limit'), [(False, 1.), (True, 1.15)])
@pytest.mark.parametrize('variant', ['svt_s', 'pcpvt_s'])
def test_ours_is_not_slower_than_the_plain_reference(variant, training, limit):
    images = torch.randn(1, 3, 512, 512)

    def make_step(peer):
        model = PEERS[peer].build(variant).train(training)

        def step():
            with torch.set_grad_enabled(training):
                levels = model(images)
            if training:
                sum(level.mean() for level in levels).backward()
        return step

    ours, plain = fastest([make_step('twins_mm'), make_step('plain')])
    assert ours < plain * limit
