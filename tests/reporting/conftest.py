import runpy
import sys

import pytest
from conftest import REPOSITORY


@pytest.fixture
def call_tool(tmp_path, monkeypatch, capsys):
    """Runs a tool as `run_tool` does, in this process, which has imported torch already."""
    def call(tool, *args, status=0):
        path = REPOSITORY / 'tools' / f'{tool}.py'
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, 'argv', [str(path), *map(str, args)])
        try:
            runpy.run_path(str(path), run_name='__main__')
        except SystemExit as end:
            assert status
            return str(end)
        assert not status
        return capsys.readouterr().out
    return call
