"""One way to time things: one clock, and rounds in which subjects alternate.

So a machine that is slower for a while is slower for all of them.
"""

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import TypeVar

import torch

ROUNDS = 5

_Subject = TypeVar('_Subject')
_Result = TypeVar('_Result')


def read_clock() -> float:
    """Seconds, read once the GPU, if this process uses it, has finished its work."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter()


def seconds_of(step: Callable[[], object], calls: int = 1) -> float:
    """How long a call of `step` takes: the mean of several, one right after the other."""
    start = read_clock()
    for _ in range(calls):
        step()
    return (read_clock() - start) / calls


def interleave(
    measure: Callable[[_Subject], _Result],
    subjects: Sequence[_Subject],
    rounds: int,
    progress: Callable[[str], None] = lambda text: None,
) -> list[list[_Result]]:
    """What `measure` returns of each subject, round by round; `progress` gets a line for each."""
    results = [[] for _ in subjects]
    for number in range(1, rounds + 1):
        progress(f'round {number} of {rounds}')
        for subject, found in zip(subjects, results):
            found.append(measure(subject))
    return results


def time_side_by_side(steps: Sequence[Callable[[], object]]) -> list[float]:
    """Median seconds of each step, after a round that warms up."""
    return [median(seconds[1:]) for seconds in interleave(seconds_of, steps, ROUNDS + 1)]
