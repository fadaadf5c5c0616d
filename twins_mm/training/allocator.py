"""How the processes of our tools allocate memory on a CPU."""

import ctypes
import os

# As in glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
# Bytes; glibc before 2.35 accepts no more than the second for blocks.
_MOST, _MOST_FORMERLY = 2**31 - 1, 2**25


def keep_freed_memory() -> None:
    """Makes this process, and those that it forks, keep the memory that they free.

    By default, glibc returns large blocks and the end of its heap to the system, and gets them back
    as pages that the system has to find and clear, again in every step. That is 10 to 25% of a
    step; the peak of memory is the same without it. Data workers keep their peak too: with images
    of 12 megapixels, batches of two, 0.14 GiB each (9 GiB for 64), and as much without it, because
    glibc's own threshold for large blocks grows to 32 MiB (measured 2026-12-01). Nothing happens
    without glibc, or where the environment has settings for it.
    """
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
    if mallopt and not any(name.startswith(('MALLOC_', 'GLIBC_TUNABLES')) for name in os.environ):
        mallopt(_M_TRIM_THRESHOLD, _MOST)
        mallopt(_M_MMAP_THRESHOLD, _MOST) or mallopt(_M_MMAP_THRESHOLD, _MOST_FORMERLY)
