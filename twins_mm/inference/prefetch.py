"""Computes results before they are asked for."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

_Item = TypeVar('_Item')
_Result = TypeVar('_Result')


def prefetch_map(
    executor: Executor, function: Callable[[_Item], _Result], items: Iterable[_Item], ahead: int
) -> Iterator[_Result]:
    """Like `map`, in order, with up to `ahead` items in the executor while one is consumed.

    Python 3.14 has this as the `buffersize` of `Executor.map`.
    """
    futures: deque[Future[_Result]] = deque()
    try:
        for item in items:
            futures.append(executor.submit(function, item))
            if len(futures) > ahead:
                yield futures.popleft().result()
        while futures:
            yield futures.popleft().result()
    finally:
        for future in futures:
            future.cancel()
