from concurrent.futures import ThreadPoolExecutor
from itertools import count, islice
from threading import Barrier

import pytest

from twins_mm.inference.prefetch import prefetch_map


def test_results_are_in_order_and_computed_ahead():
    meeting = Barrier(3, timeout=10)  # of one result that is asked for and two that are not

    def compute(number):
        if number < 3:
            meeting.wait()
        return number**2

    with ThreadPoolExecutor(3) as executor:
        assert list(prefetch_map(executor, compute, range(7), 2)) == [0, 1, 4, 9, 16, 25, 36]


def test_no_more_is_computed_than_allowed():
    taken = []
    with ThreadPoolExecutor(2) as executor:
        results = prefetch_map(
            executor, abs, (taken.append(number) or number for number in count()), 3
        )
        assert list(islice(results, 5)) == [0, 1, 2, 3, 4]
        assert taken == list(range(8))
        results.close()  # type: ignore[attr-defined]


def test_error_is_raised_in_its_turn():
    with ThreadPoolExecutor(1) as executor:
        results = prefetch_map(executor, lambda number: 6 // number, [3, 0, 2], 2)
        assert next(results) == 2
        with pytest.raises(ZeroDivisionError):
            next(results)
