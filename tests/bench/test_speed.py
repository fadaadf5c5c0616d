"""Ours against the fixed reference, in turns in one process: never an absolute time."""
import pytest
import torch

from twins_mm.bench.peers import PEERS
from twins_mm.timing import seconds_of, take_turns


@pytest.mark.parametrize(('variant', 'training', 'limit'), [
    ('svt_s', False, 1.), ('svt_s', True, 1.15), ('pcpvt_s', False, 1.),
    pytest.param('pcpvt_s', True, 1.15, marks=pytest.mark.large)])
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

    ours, plain = map(min, take_turns(
        seconds_of, [make_step('twins_mm'), make_step('plain')], rounds=4))
    assert ours < plain * limit
