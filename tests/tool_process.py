"""Runs tools in processes that have already imported what takes seconds: torch and OpenMMLab.

A server imports it once and is forked for each tool. Nothing else differs from a process that a
user starts: the tool itself imports twins_mm. A test that changes what is imported, by PYTHONPATH,
gets a process of its own.
"""

import os
import runpy
import subprocess
import sys
from multiprocessing import get_context, set_start_method
from pathlib import Path

_SERVER = get_context('forkserver')
_SERVER.set_forkserver_preload(['mmdet.apis', 'mmseg.apis', 'matplotlib.pyplot'])
_IMPORTED_FROM = os.environ.get('PYTHONPATH')


def run(tool: Path, args: list[str], folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Runs `python TOOL ARGS` in a folder; returns its status and what it printed."""
    if environment.get('PYTHONPATH') != _IMPORTED_FROM:
        done = subprocess.run(
            [sys.executable, str(tool), *args],
            cwd=folder,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        return done.returncode, done.stdout
    output = folder / 'output_of_tool.txt'
    process = _SERVER.Process(target=_run, args=(tool, args, folder, environment, output))
    process.start()
    process.join()
    text = output.read_text()
    output.unlink()
    return process.exitcode, text


def _run(
    tool: Path, args: list[str], folder: Path, environment: dict[str, str], output: Path
) -> None:
    with output.open('w') as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    set_start_method('fork', force=True)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [str(tool), *args]
    sys.path.insert(0, str(tool.parent))
    try:
        runpy.run_path(str(tool), run_name='__main__')
    except Exception:
        sys.excepthook(*sys.exc_info())
        sys.exit(1)
