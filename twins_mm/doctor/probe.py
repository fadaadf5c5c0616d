"""Runs code in a separate Python process, which may crash."""

import re
import shutil
import signal
import subprocess
import sys
from typing import NamedTuple

# A cluster's disk may take minutes for the first import of torch.
_TIMEOUT_S = 300
_DRIVER_TIMEOUT_S = 20
_LAST_EXCEPTION = re.compile(r'^[\w.]+(?:Error|Exception|Warning|Interrupt|Exit)\b.*', re.MULTILINE)


class Finding(NamedTuple):
    """What a check found; `fix` is a command or advice.

    `state` is 'ok', 'info' for what only some need, 'warning' or 'wrong'.
    """

    state: str
    message: str
    fix: str = ''


class Broken(Exception):
    """The code failed; `output` is everything that it printed to stderr."""

    def __init__(self, message: str, output: str = ''):
        super().__init__(message)
        self.output = output


def probe(code: str, *args: str) -> str:
    """Runs code in another Python process; returns what it prints.

    Raises:
        Broken: It raised an exception, crashed, or timed out.
    """
    try:
        done = subprocess.run(
            [sys.executable, '-W', 'ignore', '-c', code, *args],
            text=True,
            timeout=_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
    except subprocess.TimeoutExpired as error:
        raise Broken(f'still running after {_TIMEOUT_S} s') from error
    if done.returncode < 0:
        raise Broken(f'Python crashed: {signal.Signals(-done.returncode).name}', done.stderr)
    if done.returncode:
        exceptions = _LAST_EXCEPTION.findall(done.stderr)
        raise Broken(exceptions[-1] if exceptions else done.stderr.strip(), done.stderr)
    return done.stdout.strip()


def find_driver() -> str:
    """The version of the NVIDIA driver, if there is one.

    Raises:
        Broken: It doesn't answer.
    """
    if not shutil.which('nvidia-smi'):
        return ''
    try:
        done = subprocess.run(
            ['nvidia-smi', '--query-gpu=driver_version', '--format=csv,noheader'],
            text=True,
            capture_output=True,
            timeout=_DRIVER_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise Broken(f'nvidia-smi does not answer within {_DRIVER_TIMEOUT_S} s') from error
    return '' if done.returncode else done.stdout.split('\n')[0].strip()
