"""Checks the installation, the data and the weights, and prints how to fix what is wrong."""

import argparse
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from ..data.data_sets import DATA_SETS
from .fixes import find_fix
from .installation import (
    check_cuda,
    check_extra,
    check_module,
    check_operators,
    check_pkg_resources,
    check_python,
    check_torchvision,
    check_undeclared,
)
from .probe import Broken, Finding
from .resources import check_data_set, check_disk, check_weights

_USE_OPENCV = """
import cv2, numpy
_, png = cv2.imencode('.png', numpy.zeros((2, 2, 3), 'uint8'))
cv2.imdecode(png, cv2.IMREAD_COLOR)
"""
_USE_LIBRARY = 'import {0}.datasets, {0}.evaluation, {0}.models'
# pip may have installed older versions for packages that accept any.
_USE_TWINS = """
import huggingface_hub, twins_mm.cli
from prettytable import TableStyle
"""
CHECKS = {
    'Python': check_python,
    'torch': partial(check_module, 'torch', 'import torch; torch.ones(2, 2) @ torch.ones(2)'),
    'CUDA': check_cuda,
    'numpy': partial(check_module, 'numpy', 'import numpy'),
    'opencv': partial(check_module, 'cv2', _USE_OPENCV),
    'torchvision': check_torchvision,
    'pkg_resources': check_pkg_resources,
    'mmengine': partial(check_module, 'mmengine', 'import mmengine.runner'),
    'operators': check_operators,
    **{
        library: partial(check_module, library, _USE_LIBRARY.format(library))
        for library in ('mmdet', 'mmseg')
    },
    'mmpretrain': partial(
        check_extra, 'mmpretrain', _USE_LIBRARY.format('mmpretrain'), 'classifiers'
    ),
    'ftfy, regex': check_undeclared,
    'twins_mm': partial(check_module, 'twins_mm', _USE_TWINS),
    **{data.title.split()[0]: partial(check_data_set, name) for name, data in DATA_SETS.items()},
    'weights': check_weights,
    'disk': check_disk,
}
# Most checks import torch in a process of their own, from a disk that may be slow.
_MOST_AT_ONCE = 4
_COLOURS = dict(ok='\033[32m', info='\033[36m', warning='\033[33m', wrong='\033[31m')


def main() -> int:
    """Runs every check and prints the findings; returns 1 if something is wrong."""
    # The parser of `twins_mm.cli` imports packages that may be broken.
    parser = argparse.ArgumentParser(prog='python -m twins_mm.doctor', description=__doc__)
    parser.add_argument(
        '--json', action='store_true', help='print a list of {check, state, message, fix}'
    )
    args = parser.parse_args()
    with ThreadPoolExecutor(min(_MOST_AT_ONCE, _count_cores())) as pool:
        findings = zip(CHECKS, pool.map(_run, CHECKS.values()))
        if args.json:
            found = list(findings)
            records = [dict(check=check, **finding._asdict()) for check, finding in found]
            print(json.dumps(records, indent=2))
            wrong = any(finding.state == 'wrong' for _, finding in found)
        else:
            wrong = _print(findings)['wrong'] > 0
    return int(wrong)


def _count_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, 'sched_getaffinity'):  # Linux; a container or Slurm may have set fewer
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _run(check: Callable[[], Finding]) -> Finding:
    """Runs a check; if it fails itself, reports that, so that the others still run."""
    try:
        return check()
    except Broken as error:
        return Finding('wrong', str(error), find_fix(error, ''))
    except OSError as error:  # no permission, a folder that is gone
        return Finding('wrong', ': '.join(filter(None, (error.filename, error.strerror))))
    except Exception as error:
        message = f'{type(error).__name__}: {error}'
        return Finding('wrong', message, find_fix(Broken(message), 'report this as a bug'))


def _print(findings: Iterable[tuple[str, Finding]]) -> Counter[str]:
    """Prints each finding as soon as it is there; returns how many there are of each state."""
    width = max(map(len, CHECKS))
    fixes = set()
    counts: Counter[str] = Counter()
    for check, (state, message, fix) in findings:
        word = f'{state:7}'
        if sys.stdout.isatty():
            word = f'{_COLOURS[state]}{word}\033[0m'
        print(f'{word}  {check:{width}}  {message}', flush=True)
        if fix:
            print(f'{"":{width + 9}}  -> {"the same as above" if fix in fixes else fix}')
        fixes.add(fix)
        counts[state] += 1
    plural = 's' * (counts['warning'] != 1)
    print(f'\n{counts["wrong"]} wrong, {counts["warning"]} warning{plural}.')
    if counts['wrong']:
        print('Fix the first one, then run this again: it may be the cause of the others.')
    return counts


if __name__ == '__main__':
    # Ctrl+C, and a reader such as `head` that ends, end it without a traceback.
    for name in ('SIGINT', 'SIGPIPE'):
        if hasattr(signal, name):  # Windows has no SIGPIPE
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    sys.exit(main())
