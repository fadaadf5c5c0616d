import time

import pytest

from twins_mm.benchmark.timing import interleave, seconds_of


def test_subjects_alternate_in_each_round():
    turns, told = [], []

    def measure(subject):
        turns.append(subject)
        return len(turns)

    assert interleave(measure, ['a', 'b', 'c'], 2, told.append) == [[1, 4], [2, 5], [3, 6]]
    assert turns == ['a', 'b', 'c'] * 2
    assert told == ['round 1 of 2', 'round 2 of 2']


@pytest.mark.parametrize('uses_gpu', [False, True])
def test_clock_waits_for_a_gpu_before_and_after(uses_gpu, monkeypatch):
    events = []
    monkeypatch.setattr('torch.cuda.is_initialized', lambda: uses_gpu)
    monkeypatch.setattr('torch.cuda.synchronize', lambda: events.append('waited'))

    def step():
        events.append('step')
        time.sleep(0.05)

    assert 0.05 <= seconds_of(step, calls=2) < 5
    steps = ['step', 'step']
    assert events == (['waited', *steps, 'waited'] if uses_gpu else steps)
