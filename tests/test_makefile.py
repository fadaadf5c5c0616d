"""What `make install` installs, where pip only writes down its calls."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture
def make(tmp_path):
    """Runs make in a folder with stubs; returns pip's calls and the whole output."""

    def write(path, script):
        path = tmp_path / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'#!/bin/sh\n{script}\n')
        path.chmod(0o755)

    def run(*args, version=(3, 11), cuda=None, mmcv=False, venv='.venv'):
        for name in ('Makefile', 'setup.py'):
            shutil.copy(REPOSITORY / name, tmp_path)
        (tmp_path / 'torch.py').write_text(
            f'from types import SimpleNamespace\nversion = SimpleNamespace(cuda={cuda!r})'
        )
        write(
            'python3',
            f'[ "$1" = -m ] && exit\n'
            f'exec {sys.executable} -c "import sys; sys.version_info = {version}\n$2"',
        )
        write(f'{venv}/bin/pip', f'[ "$1" = show ] && exit {1 - mmcv}\necho "pip $*"')
        write(f'{venv}/bin/python', f'PYTHONPATH={tmp_path} exec {sys.executable} -S "$@"')
        done = subprocess.run(
            ['make', 'install', *args],
            cwd=tmp_path,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(PATH=f'{tmp_path}:{os.environ["PATH"]}'),
        )
        assert (tmp_path / venv / '.ready').exists() != bool(done.returncode), done.stdout
        return re.findall('^pip .*', done.stdout, re.MULTILINE), done.stdout

    return run


@pytest.mark.parametrize(('cuda', 'with_torchvision'), [(None, False), ('13.0', True)])
def test_torchvision_is_for_cuda(cuda, with_torchvision, make):
    """With torch's version, or pip would replace torch by what the newest torchvision needs."""
    calls, _ = make(cuda=cuda)
    found = [call for call in calls if 'torchvision' in call]
    assert len(found) == with_torchvision
    assert all(re.search('install torch==[0-9.]+ torchvision', call) for call in found)


@pytest.mark.parametrize(('mmcv', 'extras'), [(False, '[lite,test]'), (True, '[test]')])
def test_a_compiled_mmcv_stays(mmcv, extras, make):
    calls, _ = make(mmcv=mmcv)
    assert f'pip install -e .{extras}' in calls
    assert not any('uninstall' in call for call in calls)


def test_forks_are_installed_without_a_compiler(make):
    calls, _ = make('STACK=onedl', venv='.venv-onedl')
    (mmcv,) = (call for call in calls if 'onedl-mmcv==' in call)
    assert '--no-build-isolation' not in mmcv


@pytest.mark.parametrize(
    ('torch', 'limits'),
    [
        ('2.13.0', ['setuptools<81']),
        ('2.3.0', ['setuptools<81']),
        ('2.1.2', ['setuptools<81', 'setuptools<70', 'numpy<2']),
    ],
)
def test_old_torch_needs_old_packages(torch, limits, make, tmp_path):
    venv = '.venv' if torch == '2.13.0' else f'.venv-torch{torch}'
    make(f'TORCH=torch=={torch}', venv=venv)
    assert (tmp_path / venv / 'limits.txt').read_text().split() == limits


@pytest.mark.parametrize(
    ('options', 'sessions'),
    [
        (
            [],
            [
                '-m "not large"',
                'tests/peers -m "not large"',
                '-m large',
                'tests/peers -m large',
                'tests/web',
            ],
        ),
        (['TORCH=torch==2.1.2'], ['-m "not large"', '-m large', 'tests/web']),
    ],
)
def test_every_test_has_one_session(options, sessions):
    lines = subprocess.run(
        ['make', '--dry-run', 'test-all', *options],
        cwd=REPOSITORY,
        text=True,
        check=True,
        capture_output=True,
        env=dict(PATH=os.environ['PATH']),
    ).stdout.splitlines()
    assert [
        line.partition(' -m pytest ')[2].removeprefix('--numprocesses auto --dist loadfile ')
        for line in lines
        if ' -m pytest ' in line
    ] == sessions


@pytest.mark.parametrize(
    ('version', 'accepted'), [((3, 9), False), ((3, 10), True), ((3, 13), True), ((3, 14), False)]
)
def test_python_is_checked_before_anything_is_installed(version, accepted, make):
    calls, output = make(version=version)
    assert bool(calls) == accepted
    assert ('error: OpenMMLab needs Python 3.10 to 3.13' in output) != accepted
