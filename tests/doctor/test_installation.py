import importlib
import json
import os
import re
import site
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from twins_mm.doctor import fixes, installation
from twins_mm.doctor.__main__ import CHECKS
from twins_mm.doctor.fixes import (
    _ONEDL,
    _OPENMMLAB,
    PIP,
    find_fix,
    replace_torchvision,
    uses_forks,
)
from twins_mm.doctor.probe import Broken

# Replaces mmcv by one without compiled operators.
REPLACE = r'uninstall -y [\w -]+ && .*install (--no-cache-dir onedl-mmcv==|"mmcv-lite>=2\.0,<2\.2")'
REPOSITORY = Path(__file__).parents[2]
OPERATORS = """
import types, mmcv
mmcv._ext = types.SimpleNamespace(__file__={extension!r})
def get_compiling_cuda_version():
    return {cuda!r}
def nms(*_):
    {run}
roi_align = nms
"""
OURS, COMPILED = '_ext.py', f'_ext{EXTENSION_SUFFIXES[0]}'
NO_CUDA = "raise RuntimeError('nms_impl: implementation for device cuda:0 not found.')"
OTHER_CARD = "raise RuntimeError('CUDA error: no kernel image is available for execution')"


@pytest.fixture
def hide(monkeypatch):
    """Makes modules look uninstalled."""

    def make(*modules):
        for module in (fixes, installation):
            monkeypatch.setattr(
                module, 'find_spec', lambda name: None if name in modules else find_spec(name)
            )

    return make


@pytest.fixture
def put_distribution(tmp_path):
    """Puts the metadata of a package into the folder of the stubs."""

    def make(name, version, module):
        folder = tmp_path / f'{name.replace("-", "_")}-{version}.dist-info'
        folder.mkdir()
        (folder / 'METADATA').write_text(f'Name: {name}\nVersion: {version}\n')
        (folder / 'top_level.txt').write_text(module)

    return make


@pytest.fixture
def put_mmcv(tmp_path, stub, monkeypatch):
    """Replaces mmcv by one whose operators do as told, and are in this file if any."""
    monkeypatch.delitem(sys.modules, 'mmcv', raising=False)

    def make(extension, cuda='not available', run='pass'):
        stub('mmcv.ops', OPERATORS.format(extension=extension, cuda=cuda, run=run))
        (tmp_path / 'mmcv' / extension).touch()
        importlib.invalidate_caches()

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


@pytest.mark.parametrize(
    ('check', 'module', 'code', 'message', 'fix'),
    [
        (
            'opencv',
            'cv2',
            "raise ImportError('libGL.so.1: cannot open shared object file: No such')",
            'ImportError: libGL.so.1: cannot open',
            'opencv-python-headless  # or: apt-get install',
        ),
        (
            'opencv',
            'cv2',
            "raise ImportError('numpy.core.multiarray failed to import')",
            'numpy.core.multiarray',
            'pip install "numpy<2" "opencv-python<4.12"',
        ),
        (
            'torchvision',
            'torchvision',
            "raise RuntimeError('operator torchvision::nms does not exist')",
            'operator torchvision::nms does not exist',
            'pip uninstall -y torchvision',
        ),
        (
            'torchvision',
            'torchvision',
            "raise OSError('libcudart.so.12: cannot open')",
            'OSError: libcudart',
            'pip uninstall -y torchvision',
        ),
        (
            'mmpretrain',
            'mmpretrain',
            """raise ModuleNotFoundError("No module named 'torchvision'")""",
            "No module named 'torchvision'",
            f'{PIP} install torchvision torch==',
        ),
        (
            'mmengine',
            'addict',
            """raise ModuleNotFoundError("No module named 'addict'")""",
            "No module named 'addict'",
            'pip install addict',
        ),
        (
            'torch',
            'torch',
            "raise OSError('libtorch.so: undefined symbol')",
            'OSError: libtorch',
            'pip install torch',
        ),
        (
            'mmdet',
            'mmdet',
            "raise ImportError('mmcv/_ext.cpython-311-x86_64.so: undefined symbol: _ZN2at')",
            'undefined symbol: _ZN2at',
            REPLACE,
        ),
        (
            'operators',
            'mmcv.ops',
            'import os; os.kill(os.getpid(), 11)',
            'Python crashed: SIGSEGV',
            REPLACE,
        ),
        (
            'mmdet',
            'mmdet',
            """raise ModuleNotFoundError("No module named 'mmcv.utils'")""",
            "No module named 'mmcv.utils'",
            REPLACE,
        ),
        (
            'operators',
            'mmcv.ops',
            """raise ModuleNotFoundError("No module named 'mmcv_operators'")""",
            "No module named 'mmcv_operators'",
            '-e .',
        ),
        ('mmdet', 'mmcv', 'pass', "module 'mmcv' has no attribute '__version__'", REPLACE),
        ('mmdet', 'mmcv', "__version__ = '1.7.2'", 'MMCV==1.7.2 is used but incompatible', REPLACE),
        ('mmseg', 'mmcv', "__version__ = '1.7.2'", 'MMCV==1.7.2 is used but incompatible', REPLACE),
        ('mmdet', 'mmcv', "__version__ = '2.2.0'", 'MMCV==2.2.0 is used but incompatible', REPLACE),
        ('mmseg', 'mmcv', "__version__ = '2.2.0'", 'MMCV==2.2.0 is used but incompatible', REPLACE),
        (
            'mmseg',
            'ftfy',
            """raise ModuleNotFoundError("No module named 'ftfy'")""",
            "No module named 'ftfy'",
            'pip install ftfy',
        ),
        (
            'twins_mm',
            'huggingface_hub',
            """raise ModuleNotFoundError("No module named 'httpx.x'")""",
            "No module named 'httpx.x'",
            'pip install httpx',
        ),
    ],
)
def test_broken_module_is_wrong(check, module, code, message, fix, stub):
    if re.search('incompatible|__version__', message) and uses_forks():
        pytest.skip("another version of a library: the forks don't compare mmcv's version")
    stub(module, code)
    finding = CHECKS[check]()
    assert finding.state == 'wrong'
    assert message in finding.message
    assert re.search(fix, finding.fix) if fix is REPLACE else fix in finding.fix


def test_missing_module_is_wrong(hide):
    hide('mmcv', 'mmseg', 'ftfy', 'regex')
    operators = CHECKS['operators']()
    assert operators[:2] == ('wrong', 'mmcv is not installed')
    assert re.search(REPLACE, operators.fix)
    assert CHECKS['mmseg']()[:2] == ('wrong', 'not installed')
    assert 'mmsegmentation' in CHECKS['mmseg']().fix
    finding = CHECKS['ftfy, regex']()
    assert finding.state == 'wrong' and finding.fix.endswith('pip install ftfy regex')


@pytest.mark.parametrize(
    ('extension', 'driver', 'state'),
    [(OURS, '', 'ok'), (OURS, '580.3', 'warning'), (COMPILED, '580.3', 'ok')],
)
def test_missing_torchvision_is_a_warning_if_a_gpu_would_use_it(
    extension, driver, state, put_mmcv, hide, set_driver
):
    put_mmcv(extension)
    hide('torchvision')
    set_driver(driver)
    finding = CHECKS['torchvision']()
    assert finding.state == state
    assert ('install' in finding.fix) == (state == 'warning')


INDEX = ' --index-url https://download.pytorch.org/whl/'


@pytest.mark.parametrize(
    ('torch', 'driver', 'hidden', 'fix'),
    [
        ('2.12.0', '580.3', ['torchvision'], '{} install torchvision torch==2.12.0'),
        (
            '2.12.0',
            '580.3',
            ['mmpretrain', 'timm'],
            '{} uninstall -y torchvision && {} install torchvision torch==2.12.0',
        ),
        (
            '2.12.0+cu126',
            '580.3',
            ['torchvision'],
            '{} install torchvision torch==2.12.0+cu126' + INDEX + 'cu126',
        ),
        (
            '2.12.0+cpu',
            '580.3',
            ['torchvision'],
            '{} uninstall -y torch torchvision && {} install torch torchvision',
        ),
        (
            '2.12.0+cpu',
            '',
            ['torchvision'],
            '{} install torchvision torch==2.12.0+cpu' + INDEX + 'cpu',
        ),
        ('2.12.0+cpu', '', ['mmpretrain', 'timm'], '{} uninstall -y torchvision'),
        (
            '2.12.0+cpu',
            '',
            ['timm'],
            '{} uninstall -y torchvision && '
            '{} install torchvision torch==2.12.0+cpu' + INDEX + 'cpu',
        ),
    ],
)
def test_torchvision_that_fits_torch(
    torch, driver, hidden, fix, stub, put_distribution, hide, set_driver
):
    for module in ('torchvision', 'mmpretrain', 'timm'):
        stub(module, '')
    put_distribution('torch', torch, 'torch')
    hide(*hidden)
    set_driver(driver)
    assert replace_torchvision() == fix.format(PIP, PIP)


@pytest.mark.parametrize('module', ['torchvision', 'torchvision.transforms.v2'])
def test_torchvision_that_something_imports_is_installed(
    module, stub, put_distribution, hide, set_driver
):
    stub('torchvision', '')
    put_distribution('torch', '2.12.0', 'torch')
    hide('mmpretrain', 'timm')
    set_driver('')
    fix = find_fix(Broken(f"ModuleNotFoundError: No module named '{module}'"), '')
    assert fix.endswith(f'{PIP} install torchvision torch==2.12.0')


@pytest.mark.parametrize(('mmengine', 'state'), [('mmengine', 'warning'), ('onedl-mmengine', 'ok')])
def test_pkg_resources_is_needed_by_openmmlabs_mmengine(mmengine, state, hide, monkeypatch):
    hide('pkg_resources')
    versions = dict(setuptools='82.0.1')
    versions[mmengine] = '0.10'
    monkeypatch.setattr(
        installation,
        'packages_distributions',
        lambda: dict(setuptools=['setuptools'], mmengine=[mmengine]),
    )
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


@pytest.mark.parametrize(('python', 'state'), [((3, 13), 'ok'), ((3, 14), 'wrong')])
def test_python_that_openmmlab_needs(python, state, monkeypatch):
    monkeypatch.setattr(sys, 'version_info', python)
    finding = CHECKS['Python']()
    assert finding.state == state
    assert ('pkgutil.find_loader' in finding.message) == (state == 'wrong')
    assert ('Python 3.10 to 3.13' in finding.fix) == (state == 'wrong')


TORCH = """
__version__, Tensor = '2.13.0', None
class _C:
    def _dispatch_has_kernel_for_dispatch_key(name, key): return True
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
    ('driver', 'build', 'count', 'kernel', 'visible', 'state', 'message', 'fix'),
    [
        ('', None, 0, 'pass', None, 'warning', 'no GPU', 'NVIDIA GPU'),
        ('', '12.6', 0, 'pass', None, 'warning', 'no GPU', 'NVIDIA GPU'),
        (
            '560.1',
            None,
            0,
            'pass',
            None,
            'wrong',
            'driver 560.1, but this torch is built for CPUs',
            f'{PIP} uninstall -y torch torchvision && {PIP} install torch torchvision',
        ),
        ('460.1', '12.6', 0, 'pass', None, 'wrong', 'system is too old', 'update the driver'),
        (
            '460.1',
            '12.6',
            0,
            'pass',
            None,
            'wrong',
            'finds no GPU; this CUDA needs driver 525 or newer',
            'update the driver',
        ),
        (
            '575.2',
            '13.0',
            0,
            'pass',
            None,
            'wrong',
            'finds no GPU; this CUDA needs driver 580 or newer',
            'update the driver',
        ),
        (
            '580.3',
            '13.0',
            0,
            'pass',
            None,
            'wrong',
            'finds no GPU; The NVIDIA driver on your system is',
            'update the driver',
        ),
        ('560.1', '12.6', 0, 'pass', '', 'wrong', "CUDA_VISIBLE_DEVICES=''", 'unset CUDA_VISIBLE'),
        (
            '560.1',
            '12.6',
            1,
            NO_KERNEL,
            None,
            'wrong',
            'sm_90, but torch has sm_70 sm_80: no kernel',
            'install a torch that supports this architecture',
        ),
        (
            '560.1',
            '12.6',
            2,
            'pass',
            None,
            'ok',
            '2 x H200, sm_90; built for CUDA 12.6, driver 560.1',
            '',
        ),
    ],
)
def test_cuda(
    driver, build, count, kernel, visible, state, message, fix, stub, set_driver, monkeypatch
):
    stub('torch', TORCH.format(build=build, count=count, kernel=kernel))
    set_driver(driver)
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    if visible is not None:
        monkeypatch.setenv('CUDA_VISIBLE_DEVICES', visible)
    finding = CHECKS['CUDA']()
    assert finding.state == state
    assert message in finding.message
    assert fix in finding.fix


@pytest.mark.parametrize(
    ('extension', 'cuda', 'driver', 'gpus', 'torchvision', 'run', 'state', 'message', 'fix'),
    [
        (OURS, '', '', 0, '', 'pass', 'ok', '; on CPUs by torch 2.13.0', ''),
        (
            OURS,
            '',
            '580.3',
            1,
            "__version__ = '0.28.0'",
            'pass',
            'ok',
            '; on CPUs by torch 2.13.0, on CUDA by torchvision 0.28.0',
            '',
        ),
        (
            OURS,
            '',
            '580.3',
            1,
            'raise OSError',
            'pass',
            'warning',
            '; on CPUs by torch 2.13.0, '
            "on CUDA by torch 2.13.0, which is slower than torchvision's",
            'install torchvision torch==',
        ),
        (OURS, '', '580.3', 1, '', OTHER_CARD, 'wrong', 'no kernel image', 'install a torch that'),
        (COMPILED, 'not available', '', 0, '', 'pass', 'ok', '; compiled for CPUs', ''),
        (COMPILED, '13.0', '580.3', 1, '', 'pass', 'ok', '; compiled for CUDA 13.0', ''),
        (
            COMPILED,
            'not available',
            '580.3',
            0,
            '',
            'pass',
            'wrong',
            '; compiled for CPUs only',
            REPLACE,
        ),
        (
            COMPILED,
            'not available',
            '580.3',
            1,
            '',
            NO_CUDA,
            'wrong',
            'for device cuda:0 not found',
            REPLACE,
        ),
        (COMPILED, '12.6', '580.3', 1, '', OTHER_CARD, 'wrong', 'no kernel image', REPLACE),
    ],
)
def test_operators_say_which_run(
    extension,
    cuda,
    driver,
    gpus,
    torchvision,
    run,
    state,
    message,
    fix,
    stub,
    put_mmcv,
    put_distribution,
    set_driver,
):
    stub('torch', TORCH.format(build='13.0', count=gpus, kernel='pass'))
    put_distribution('torch', '2.13.0', 'torch')
    stub('torchvision', torchvision)
    put_mmcv(extension, cuda, run)
    put_distribution('mmcv', '2.1.0', 'mmcv')
    set_driver(driver)
    finding = CHECKS['operators']()
    assert finding.state == state
    assert finding.message.startswith('mmcv 2.1.0')
    assert finding.message.endswith(message) or state == 'wrong' and message in finding.message
    assert re.search(fix, finding.fix) and bool(fix) == bool(finding.fix)


def test_mmcv_beside_mmcv_lite_is_a_warning(put_mmcv, put_distribution):
    put_mmcv(COMPILED)
    put_distribution('mmcv', '2.1.0', 'mmcv')
    put_distribution('mmcv-lite', '2.1.0', 'mmcv')
    finding = CHECKS['operators']()
    assert finding.state == 'warning'
    assert finding.message.startswith('mmcv 2.1.0, mmcv-lite 2.1.0; compiled for CPUs; in the same')
    assert re.search(REPLACE, finding.fix) and 'uninstall -y mmcv mmcv-lite ' in finding.fix


@pytest.mark.parametrize('left', [None, 'mmcv'])
def test_what_an_uninstall_leaves_is_not_mmcv(left, tmp_path, put_distribution, monkeypatch):
    (tmp_path / 'mmcv').mkdir()
    (tmp_path / 'mmcv/_ext.py').touch()
    if left:
        put_distribution(left, '2.1.0', 'mmcv')
    monkeypatch.delitem(sys.modules, 'mmcv', raising=False)
    monkeypatch.setattr(
        sys, 'path', [str(tmp_path), *(path for path in sys.path if 'site-packages' not in path)]
    )
    assert find_spec('mmcv')
    finding = CHECKS['operators']()
    assert finding[:2] == ('wrong', 'mmcv is not installed')
    uninstall = f'{PIP} uninstall -y {left} && ' if left else ''
    assert finding.fix == f'{uninstall}{PIP} install "mmcv-lite>=2.0,<2.2"'


@pytest.mark.parametrize(
    ('place', 'message', 'fix'),
    [
        (
            'before',
            'it is in {mmcv}, but its operators, mmcv/_ext.py, in {added}',
            'install --ignore-installed --no-deps ',
        ),
        (
            'user',
            'it is in {mmcv}, but its operators, mmcv/_ext.py, in {added}',
            'install --user --ignore-installed --no-deps ',
        ),
        (
            'after',
            'it is in {mmcv}, but its operators, mmcv/_ext.py, in {added}',
            'cp {added}/mmcv/_ext.py {mmcv}/mmcv',
        ),
        ('nowhere', 'without mmcv/_ext.py, which installing twins_mm adds', '-e .'),
    ],
)
def test_mmcv_away_from_its_operators_is_wrong(
    place, message, fix, tmp_path, stub, tmp_path_factory, monkeypatch
):
    stub('mmcv.ops', 'import mmcv._ext')
    monkeypatch.delitem(sys.modules, 'mmcv', raising=False)
    added = tmp_path_factory.mktemp('added')
    (added / 'mmcv').mkdir()
    (added / 'mmcv/_ext.py').touch()
    others = [
        path
        for path in sys.path
        if path != str(tmp_path) and not Path(path, 'mmcv/_ext.py').is_file()
    ]
    monkeypatch.setattr(
        sys,
        'path',
        {'nowhere': [str(tmp_path), *others], 'after': [str(tmp_path), str(added), *others]}.get(
            place, [str(added), str(tmp_path), *others]
        ),
    )
    if place == 'user':
        monkeypatch.setattr(site, 'getusersitepackages', lambda: str(added))
    finding = CHECKS['operators']()
    assert finding.state == 'wrong'
    assert message.format(mmcv=tmp_path, added=added) in finding.message
    assert fix.format(mmcv=tmp_path, added=added) in finding.fix


def test_fixes_install_what_we_require():
    required = set(
        map(Requirement, re.findall(r"'([\w-]+[<>].+?)'", (REPOSITORY / 'setup.py').read_text()))
    )
    assert required >= {Requirement(package.strip('"')) for package in _OPENMMLAB.values()}
    makefile = (REPOSITORY / 'Makefile').read_text()
    assert all(package.split()[-1] in makefile for package in _ONEDL.values() if '==' in package)


def test_doctor_runs_when_nothing_can_be_imported(stub, run_doctor):
    for module in ('torch', 'mmengine', 'numpy', 'cv2', 'huggingface_hub', 'rich'):
        stub(module, f'raise ModuleNotFoundError("No module named {module!r}")')
    findings = {finding['check']: finding for finding in json.loads(run_doctor('--json', status=1))}
    assert list(findings) == list(CHECKS)
    for check in (
        'torch',
        'CUDA',
        'numpy',
        'opencv',
        'mmengine',
        'operators',
        'mmdet',
        'mmseg',
        'twins_mm',
        'weights',
    ):
        assert findings[check]['state'] == 'wrong'
        assert 'pip install' in findings[check]['fix']
    assert findings['torch']['message'].endswith("No module named 'torch'")
    assert findings['disk']['state'] in ('ok', 'warning')
