import subprocess
import sys

import pytest

from twins_mm.files.shipped import CONFIGS, list_tools


def run(*args, folder, status=0):
    done = subprocess.run(
        [sys.executable, '-m', 'twins_mm', *args],
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.returncode == status, done.stdout
    return done.stdout


def test_script_runs_as_usual_with_twins_mm_imported(tmp_path):
    (tmp_path / 'scripts').mkdir()
    (tmp_path / 'scripts/neighbour.py').touch()
    (tmp_path / 'scripts/script.py').write_text(
        'import neighbour, sys\nprint(__name__, sys.argv, "twins_mm.models" in sys.modules)'
    )
    output = run('scripts/script.py', 'twins_mm::a.py', '--flag', 'x', folder=tmp_path)
    argv = ['scripts/script.py', str(CONFIGS / 'a.py'), '--flag', 'x']
    assert output == f'__main__ {argv} True\n'


def test_tools_are_known_by_name(tmp_path):
    assert 'usage: prepare_data.py' in run('prepare_data', '--help', folder=tmp_path)


@pytest.mark.parametrize(('args', 'status'), [(['--help'], 0), (['trian'], 2)])
def test_tools_are_listed(args, status, tmp_path):
    output = ' '.join(run(*args, folder=tmp_path, status=status).split())
    assert ', '.join(list_tools()) in output
    assert ('no such script: trian' in output) == (status == 2)
