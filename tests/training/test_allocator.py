import os
import platform
import subprocess
import sys

import pytest

# Page faults of 20 blocks of 64 MiB, after ten: the ends of the first seven, cut off to align them,
# stay in a cache of glibc, and keep their blocks apart.
CODE = """
import resource
import torch
from twins_mm.training.allocator import keep_freed_memory
keep_freed_memory()
for _ in range(10):
    torch.ones(2**24)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.ones(2**24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != 'glibc', reason='another platform: glibc alone has these settings'
)
@pytest.mark.parametrize(
    ('settings', 'keeps'), [({}, True), (dict(MALLOC_MMAP_THRESHOLD_='1048576'), False)]
)
def test_memory_is_kept_unless_the_environment_says_otherwise(settings, keeps):
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(('MALLOC_', 'GLIBC_TUNABLES'))
    }
    faults = int(
        subprocess.run(
            [sys.executable, '-c', CODE],
            env=env | settings,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    )
    pages = 2**26 // os.sysconf('SC_PAGE_SIZE')
    assert (faults < pages) if keeps else (faults > 10 * pages)


def test_nothing_happens_without_glibc(monkeypatch):
    monkeypatch.setattr('ctypes.CDLL', lambda _: object())
    from twins_mm.training.allocator import keep_freed_memory

    keep_freed_memory()
