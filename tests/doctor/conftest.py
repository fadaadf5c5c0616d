import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def run_doctor(tmp_path):
    """Runs the doctor as a user does, in an empty folder."""

    def run(*args, status):
        path = os.pathsep.join([os.environ.get('PYTHONPATH', ''), str(Path(__file__).parents[2])])
        folder = tmp_path / 'empty'
        folder.mkdir()
        done = subprocess.run(
            [sys.executable, '-m', 'twins_mm.doctor', *args],
            cwd=folder,
            text=True,
            capture_output=True,
            env={**os.environ, 'PYTHONPATH': path, 'HF_HUB_OFFLINE': '1'},
        )
        assert done.returncode == status, done.stdout + done.stderr
        assert not done.stderr
        return done.stdout

    return run


@pytest.fixture
def stub(tmp_path, monkeypatch):
    """Replaces an installed module in this process and those that it starts."""
    monkeypatch.setenv('PYTHONPATH', str(tmp_path), prepend=os.pathsep)
    monkeypatch.syspath_prepend(tmp_path)

    def make(module, code):
        path = tmp_path.joinpath(*module.split('.')) / '__init__.py'
        path.parent.mkdir(parents=True, exist_ok=True)
        for parent in path.parents[1:]:
            if parent == tmp_path:
                break
            (parent / '__init__.py').touch()
        path.write_text(code)

    return make
