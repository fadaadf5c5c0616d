import json
import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from twins_mm.doctor import installation
from twins_mm.doctor.__main__ import CHECKS
from twins_mm.doctor.fixes import _ONEDL, _OPENMMLAB, uses_forks

REPOSITORY = Path(__file__).parents[2]
OPERATORS = """
def get_compiling_cuda_version():
    return {cuda!r}
def nms(*_):
    {run}
"""
CPU_OPERATORS = OPERATORS.format(cuda='not available', run=(
    "raise RuntimeError('nms_impl: implementation for device cuda:0 not found.')"))
OTHER_CARDS = OPERATORS.format(cuda='13.0', run=(
    "raise RuntimeError('CUDA error: no kernel image is available for execution on the device')"))


@pytest.fixture
def hide(monkeypatch):
    """Makes modules look uninstalled."""
    def make(*modules):
        monkeypatch.setattr(installation, 'find_spec', lambda name: (
            None if name in modules else find_spec(name)))
    return make


@pytest.fixture
def set_driver(tmp_path, monkeypatch):
    """Makes the machine look as if it had an NVIDIA driver of this version, or none."""
    def make(version):
        program = tmp_path / 'nvidia-smi'
        program.write_text(f'#!/bin/sh\n[ "{version}" ] && echo {version}\n')
        program.chmod(0o755)
        monkeypatch.setenv('PATH', str(tmp_path), prepend=os.pathsep)
    return make


@pytest.mark.parametrize(('check', 'module', 'code', 'message', 'fix'), [
    ('opencv', 'cv2', "raise ImportError('libGL.so.1: cannot open shared object file: No such')",
     'ImportError: libGL.so.1: cannot open', 'opencv-python-headless  # or: apt-get install'),
    ('opencv', 'cv2', "raise ImportError('numpy.core.multiarray failed to import')",
     'numpy.core.multiarray', 'pip install "numpy<2" "opencv-python<4.12"'),
    ('torchvision', 'torchvision',
     "raise RuntimeError('operator torchvision::nms does not exist')",
     'operator torchvision::nms does not exist', 'pip uninstall -y torchvision'),
    ('torchvision', 'torchvision', "raise OSError('libcudart.so.12: cannot open')",
     'OSError: libcudart', 'pip uninstall -y torchvision'),
    ('mmengine', 'addict', """raise ModuleNotFoundError("No module named 'addict'")""",
     "No module named 'addict'", 'pip install addict'),
    ('torch', 'torch', "raise OSError('libtorch.so: undefined symbol')", 'OSError: libtorch',
     'pip install torch'),
    ('mmcv, its _ext', 'mmcv.ops', 'import mmcv._ext', "No module named 'mmcv._ext'",
     'MMCV_WITH_OPS=1'),
    ('mmcv, its _ext', 'mmcv.ops',
     "raise ImportError('mmcv/_ext.cpython-311-x86_64-linux-gnu.so: undefined symbol: _ZN2at')",
     'undefined symbol: _ZN2at', '--no-cache-dir --force-reinstall --no-deps'),
    ('mmcv, its _ext', 'mmcv.ops', 'import os; os.kill(os.getpid(), 11)', 'Python crashed: SIGSEGV',
     'MMCV_WITH_OPS=1'),
    ('mmcv, its _ext', 'mmcv.ops', CPU_OPERATORS, 'implementation for device cuda:0 not found',
     'MMCV_WITH_OPS=1'),
    ('mmcv, its _ext', 'mmcv.ops', OTHER_CARDS, 'no kernel image', 'MMCV_WITH_OPS=1'),
    ('mmdet', 'mmcv', "__version__ = '1.7.2'", 'MMCV==1.7.2 is used but incompatible', 'mmcv=='),
    ('mmseg', 'mmcv', "__version__ = '1.7.2'", 'MMCV==1.7.2 is used but incompatible', 'mmcv=='),
    ('mmdet', 'mmcv', "__version__ = '2.2.0'", 'MMCV==2.2.0 is used but incompatible', 'mmcv=='),
    ('mmseg', 'mmcv', "__version__ = '2.2.0'", 'MMCV==2.2.0 is used but incompatible', 'mmcv=='),
    ('mmseg', 'ftfy', """raise ModuleNotFoundError("No module named 'ftfy'")""",
     "No module named 'ftfy'", 'pip install ftfy'),
    ('twins_mm', 'huggingface_hub', """raise ModuleNotFoundError("No module named 'httpx.x'")""",
     "No module named 'httpx.x'", 'pip install httpx')])
def test_broken_module_is_wrong(check, module, code, message, fix, stub):
    if 'incompatible' in message and uses_forks():
        pytest.skip("the forks don't compare mmcv's version")
    stub(module, code)
    finding = CHECKS[check]()
    assert finding.state == 'wrong'
    assert message in finding.message
    assert fix in finding.fix


def test_missing_module_is_wrong(hide):
    hide('mmcv', 'mmseg', 'ftfy', 'regex')
    operators = CHECKS['mmcv, its _ext']()
    assert operators[:2] == CHECKS['mmseg']()[:2] == ('wrong', 'not installed')
    assert 'MMCV_WITH_OPS=1' in operators.fix
    assert 'mmsegmentation==' in CHECKS['mmseg']().fix
    finding = CHECKS['ftfy, regex']()
    assert finding.state == 'wrong' and finding.fix.endswith('pip install ftfy regex')


def test_torchvision_is_not_needed(hide):
    hide('torchvision')
    assert CHECKS['torchvision']().state == 'ok'


@pytest.mark.parametrize(('mmengine', 'state'), [('mmengine', 'warning'), ('onedl-mmengine', 'ok')])
def test_pkg_resources_is_needed_by_openmmlabs_mmengine(mmengine, state, hide, monkeypatch):
    hide('pkg_resources')
    versions = dict(setuptools='82.0.1')
    versions[mmengine] = '0.10'
    monkeypatch.setattr(installation, 'packages_distributions', lambda: dict(
        setuptools=['setuptools'], mmengine=[mmengine]))
    monkeypatch.setattr(installation, 'version', versions.__getitem__)
    finding = CHECKS['pkg_resources']()
    assert finding.state == state
    assert 'setuptools 82.0.1' in finding.message
    assert ('"setuptools<81"' in finding.fix) == (state == 'warning')


def test_two_packages_in_one_folder_are_a_warning(monkeypatch, stub):
    stub('cv2', '')
    monkeypatch.setattr(installation, 'packages_distributions', lambda: dict(cv2=['b', 'a', 'a']))
    monkeypatch.setattr(installation, 'version', dict(a='1', b='2').__getitem__)
    finding = installation.check_module('cv2', 'import cv2')
    assert finding.state == 'warning'
    assert 'a 1, b 2' in finding.message
    assert re.search('pip uninstall -y a b && .*pip install opencv-python$', finding.fix)


@pytest.mark.parametrize(('installed', 'state'), [(True, 'ok'), (False, 'warning')])
def test_new_python_is_a_warning_until_mmcv_is_installed(installed, state, hide, monkeypatch):
    monkeypatch.setattr(sys, 'version_info', (3, 14))
    hide(*[] if installed else ['mmcv'])
    finding = CHECKS['Python']()
    assert finding.state == state
    assert ('PYTHON=python3.11' in finding.fix) == (not installed)


TORCH = """
class version:
    cuda, hip = {build!r}, None
class cuda:
    def is_available():
        import warnings
        warnings.warn('The NVIDIA driver on your system is too old')
        return {count} > 0
    def device_count(): return {count}
    def get_device_name(): return 'H200'
    def get_device_capability(): return 9, 0
    def get_arch_list(): return ['sm_70', 'sm_80']
class ones:
    def __init__(self, *_, device): {kernel}
    def sum(self): return self
    def item(self): return 1
tensor = ones
"""
NO_KERNEL = "raise RuntimeError('no kernel image is available for execution on the device')"


@pytest.mark.parametrize(
    ('driver', 'build', 'count', 'kernel', 'visible', 'state', 'message', 'fix'), [
    ('', None, 0, 'pass', None, 'warning', 'no GPU', 'NVIDIA GPU'),
    ('', '12.6', 0, 'pass', None, 'warning', 'no GPU', 'NVIDIA GPU'),
    ('560.1', None, 0, 'pass', None, 'wrong', 'driver 560.1, but this torch is built for CPUs',
     'make install CUDA=1'),
    ('460.1', '12.6', 0, 'pass', None, 'wrong', 'system is too old', 'update the driver'),
    ('460.1', '12.6', 0, 'pass', None, 'wrong', 'finds no GPU; this CUDA needs driver 525 or newer',
     'update the driver'),
    ('575.2', '13.0', 0, 'pass', None, 'wrong', 'finds no GPU; this CUDA needs driver 580 or newer',
     'update the driver'),
    ('580.3', '13.0', 0, 'pass', None, 'wrong', 'finds no GPU; The NVIDIA driver on your system is',
     'update the driver'),
    ('560.1', '12.6', 0, 'pass', '', 'wrong', "CUDA_VISIBLE_DEVICES=''", 'unset CUDA_VISIBLE'),
    ('560.1', '12.6', 1, NO_KERNEL, None, 'wrong', 'sm_90, but torch has sm_70 sm_80: no kernel',
     'install a torch that supports this architecture'),
    ('560.1', '12.6', 2, 'pass', None, 'ok', '2 x H200, sm_90; built for CUDA 12.6, driver 560.1',
     '')])
def test_cuda(driver, build, count, kernel, visible, state, message, fix,
              stub, set_driver, monkeypatch):
    stub('torch', TORCH.format(build=build, count=count, kernel=kernel))
    set_driver(driver)
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    if visible is not None:
        monkeypatch.setenv('CUDA_VISIBLE_DEVICES', visible)
    finding = CHECKS['CUDA']()
    assert finding.state == state
    assert message in finding.message
    assert fix in finding.fix


@pytest.mark.parametrize(('driver', 'build', 'nvcc', 'state', 'message'), [
    ('', 'not available', None, 'ok', 'mmcv'),
    ('580.3', '13.0', '12.4', 'ok', 'mmcv'),
    ('580.3', 'not available', '13.1', 'wrong', 'RuntimeError: mmcv has no CUDA operators'),
    ('580.3', 'not available', '12.4', 'wrong', 'nvcc: release 12.4 in {}, torch needs 13.0'),
    ('580.3', 'not available', None, 'wrong', 'nvcc: none, torch needs 13.0')])
def test_operators_are_for_the_gpu(driver, build, nvcc, state, message, stub, set_driver, tmp_path):
    stub('torch', TORCH.format(build='13.0', count=0, kernel='pass'))
    stub('torch.utils.cpp_extension', f'CUDA_HOME = {str(tmp_path)!r}')
    stub('mmcv.ops', OPERATORS.format(cuda=build, run='pass'))
    set_driver(driver)
    if nvcc:
        program = tmp_path / 'bin/nvcc'
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\necho Cuda compilation tools, release {nvcc}, V{nvcc}.88')
        program.chmod(0o755)
    finding = CHECKS['mmcv, its _ext']()
    assert finding.state == state
    assert message.format(tmp_path) in finding.message
    assert ('torch needs' in finding.message) == ('torch needs' in message)
    assert finding.fix.startswith('make install CUDA=1  # or') == (state == 'wrong')


def test_fixes_install_the_tested_versions():
    tested = (REPOSITORY / 'Makefile').read_text() + (REPOSITORY / 'README.md').read_text()
    for package in (*_OPENMMLAB.values(), *_ONEDL.values()):
        name, _, version = package.partition('==')
        assert package in tested or f'{name} {version}' in re.sub(r'\s+', ' ', tested)


def test_doctor_runs_when_nothing_can_be_imported(stub, run_doctor):
    for module in ('torch', 'mmengine', 'numpy', 'cv2', 'huggingface_hub', 'rich'):
        stub(module, f'raise ModuleNotFoundError("No module named {module!r}")')
    findings = {finding['check']: finding
                for finding in json.loads(run_doctor('--json', status=1))}
    assert list(findings) == list(CHECKS)
    for check in ('torch', 'CUDA', 'numpy', 'opencv', 'mmengine', 'mmcv, its _ext', 'mmdet',
                  'mmseg', 'twins_mm', 'weights'):
        assert findings[check]['state'] == 'wrong'
        assert 'pip install' in findings[check]['fix']
    assert findings['torch']['message'].endswith("No module named 'torch'")
    assert findings['disk']['state'] in ('ok', 'warning')
