"""What `make install` does with and without GPUs, where pip only writes down its calls."""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

REPOSITORY = Path(__file__).parent.parent
PIP = """\
[ "$1 $2" = "cache dir" ] && echo /cache && exit
echo "pip $* FORCE_CUDA=$FORCE_CUDA CUDA_HOME=$CUDA_HOME ARCHS=$TORCH_CUDA_ARCH_LIST" \
     "VISIBLE=${CUDA_VISIBLE_DEVICES-all}"
"""


class Machine:
    """A folder with the Makefile and an environment of stubs."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.venv = folder / '.venv'
        for name in ('Makefile', 'setup.py'):
            shutil.copy(REPOSITORY / name, folder)
        self.write('bin/python3', 'exit 0')
        self.write('.venv/bin/pip', PIP)
        self.write('.venv/bin/python', f'PYTHONPATH={folder} exec {sys.executable} -S "$@"')
        (self.venv / 'lib/python3/site-packages/nvidia/cu13/lib').mkdir(parents=True)
        self.set_cards()
        self.set_torch('2.13.0+cu130', '13.0')
        self.set_mmcv('13.0')

    def write(self, path, script):
        path = self.folder / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'#!/bin/sh\n{script}\n')
        path.chmod(0o755)

    def set_cards(self, *cards):
        answer = '\n'.join(cards) or 'NVIDIA-SMI has failed because it has no driver.'
        self.write('bin/nvidia-smi', f"echo '{answer}'; exit {0 if cards else 9}")

    def set_torch(self, version, cuda):
        (self.folder / 'torch.py').write_text(
            f'from types import SimpleNamespace\n__version__ = {version!r}\n'
            f'version = SimpleNamespace(cuda={cuda!r})')

    def set_mmcv(self, cuda):
        (self.folder / 'mmcv').mkdir(exist_ok=True)
        (self.folder / 'mmcv/__init__.py').touch()
        (self.folder / 'mmcv/ops.py').write_text(
            f'def get_compiling_cuda_version(): return {cuda!r}')

    def make(self, *args, status=0):
        """What it prints, of `make install` without a word of the real environment."""
        path = f'{self.folder / "bin"}:{os.environ["PATH"]}'
        done = subprocess.run(['make', 'install', *args], cwd=self.folder, env=dict(PATH=path),
                              text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert bool(done.returncode) == bool(status), done.stdout
        return SimpleNamespace(
            text=done.stdout, pip=re.findall('^pip .*', done.stdout, re.MULTILINE),
            ready=[path.name for path in self.venv.glob('.ready*')])


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def find(calls, *words):
    """The one call that has these words."""
    found = [call for call in calls if all(word in call for word in words)]
    assert len(found) == 1, calls
    return found[0]


@pytest.mark.parametrize('stack', ['openmmlab', 'onedl'])
def test_without_a_gpu_mmcv_is_compiled_for_cpus(stack, machine):
    machine.set_torch('2.13.0+cpu', None)
    machine.set_mmcv('not available')
    machine.venv.rename(machine.folder / ('.venv' + '-onedl' * (stack == 'onedl')))
    done = machine.make(f'STACK={stack}')
    mmcv = find(done.pip, 'install', 'mmcv==')
    assert '--cache-dir /cache/torch-2.13.0+cpu FORCE_CUDA=0' in mmcv
    assert mmcv.endswith('CUDA_HOME= ARCHS= VISIBLE=')
    assert 'cuda-toolkit' not in done.text


@pytest.mark.parametrize('stack', ['openmmlab', 'onedl'])
def test_with_a_gpu_pip_brings_the_compiler(stack, machine):
    machine.set_cards('9.0', '8.0', '8.0')
    venv = machine.venv.rename(machine.folder / ('.venv' + '-onedl' * (stack == 'onedl')))
    done = machine.make(f'STACK={stack}')
    toolkit = venv / 'lib/python3/site-packages/nvidia/cu13'
    mmcv = find(done.pip, 'install', 'mmcv==')
    assert '--cache-dir /cache/torch-2.13.0+cu130-cuda-8.0-9.0 FORCE_CUDA=1' in mmcv
    assert mmcv.endswith(f'CUDA_HOME={toolkit} ARCHS=8.0 9.0 VISIBLE=all')
    assert done.pip.index(find(done.pip, 'install cuda-toolkit[cccl,nvcc]==13.0.* ')) \
        < done.pip.index(mmcv)
    assert os.readlink(toolkit / 'lib/libcudart.so') == 'libcudart.so.13'


@pytest.mark.parametrize(('cards', 'before', 'args', 'after'), [
    ([], [], [], ''),
    ([], [], ['CUDA=0'], ''),
    ([], [], ['CUDA=1', 'TORCH_CUDA_ARCH_LIST=9.0;8.0+PTX'], '-cuda-8.0+PTX-9.0'),
    (['8.0'], [], [], '-cuda-8.0'),
    (['8.0'], [], ['CUDA=0'], ''),
    (['8.0'], [], ['TORCH_CUDA_ARCH_LIST=9.0'], '-cuda-9.0'),
    # An environment of CPU operators comes to a GPU; one of CUDA operators to a login node,
    # another card, and where CPU operators are wanted.
    (['8.0'], [''], [], '-cuda-8.0'),
    ([], ['-cuda-8.0-9.0'], [], '-cuda-8.0-9.0'),
    (['9.0'], ['-cuda-8.0'], [], '-cuda-8.0'),
    (['9.0'], ['-cuda-8.0'], ['CUDA=1'], '-cuda-9.0'),
    (['9.0'], ['-cuda-8.0'], ['CUDA=0'], '')])
@pytest.mark.parametrize('old', [False, True])
def test_environment_is_for_one_kind_of_card(cards, before, args, after, old, machine):
    machine.set_cards(*cards)
    for name in before:
        stamp = machine.venv / f'.ready{name}'
        stamp.touch()
        if old:
            os.utime(stamp, (0, 0))
    done = machine.make(*args)
    assert done.ready == [f'.ready{after}']
    assert bool(done.pip) == (old or before != [after])
    # What was compiled for something else must not stay only because its version is right.
    removed = [call for call in done.pip if 'uninstall' in call]
    assert bool(removed) == (before != [after])
    if done.pip:
        archs = after.removeprefix('-cuda-').replace('-', ' ')
        assert f' ARCHS={archs} ' in find(done.pip, 'install', 'mmcv==')


@pytest.mark.parametrize(('cuda', 'release', 'brought'), [
    ('13.0', '13.0', False), ('13.0', '12.4', True), ('13.0', None, True), ('12.6', None, False)])
def test_toolkit_is_of_torchs_cuda(cuda, release, brought, machine):
    machine.set_torch('2.13.0', cuda)
    home = machine.folder / 'cuda' if release else ''
    machine.write('cuda/bin/nvcc', f'echo "Cuda compilation tools, release {release}, V{release}"')
    done = machine.make('CUDA=1', 'TORCH_CUDA_ARCH_LIST=8.0', f'CUDA_HOME={home}')
    mmcv = find(done.pip, 'install', 'mmcv==')
    assert ('cuda-toolkit' in done.text) == brought
    assert ('/nvidia/cu13 ' if brought else f'CUDA_HOME={home} ') in mmcv


@pytest.mark.parametrize(('args', 'installed'), [
    ([], True), (['STACK=onedl'], False), (['TORCH=torch==2.1.2'], False)])
def test_peers_are_where_only_their_tests_find_them(args, installed, machine):
    for name in ('.venv-onedl', '.venv-torch2.1.2'):
        shutil.copytree(machine.venv, machine.folder / name)
    machine.write('.venv/bin/pip', f'{PIP}\nmkdir -p .venv/peers')
    done = machine.make('CUDA=0', 'peers', *args)
    calls = [call for call in done.pip if any(
        name in call for name in ('torchvision', 'timm', 'mmpretrain'))]
    assert len(calls) == installed
    for call in calls:
        assert call.startswith('pip install --no-deps --target .venv/peers ')
        assert all('==' in name for name in call.partition(' FORCE_CUDA')[0].split()[5:])
    assert 'pip' not in machine.make('CUDA=0', 'peers', *args).text


@pytest.mark.parametrize(('torch', 'mmcv', 'args', 'error'), [
    ('13.0', '13.0', ['CUDA=1'], 'name the cards to compile for'),
    ('13.0', '13.0', ['CUDA=yes'], 'CUDA is 1, or 0 for CPUs only, not yes'),
    (None, '13.0', ['CUDA=1', 'TORCH_CUDA_ARCH_LIST=8.0'], 'pip installed a torch without CUDA'),
    ('13.0', 'not available', ['CUDA=1', 'TORCH_CUDA_ARCH_LIST=8.0'],
     'error: mmcv has no CUDA operators')])
def test_no_environment_is_ready_without_what_was_asked(torch, mmcv, args, error, machine):
    machine.set_torch('2.13.0', torch)
    machine.set_mmcv(mmcv)
    done = machine.make(*args, status=2)
    assert error in done.text
    assert done.ready == []
    assert any('mmcv==' in call for call in done.pip) == (mmcv == 'not available')
