"""Python, its packages, and the GPU."""
import json
import os
import sys
from importlib.metadata import packages_distributions, version
from importlib.util import find_spec

from .fixes import PIP, build_mmcv, find_fix, install
from .probe import Broken, Finding, find_driver, probe

_TRY_CUDA = """
import json, torch, warnings
facts = dict(build=torch.version.cuda or torch.version.hip)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter('always')
    facts['count'] = torch.cuda.device_count() if torch.cuda.is_available() else 0
facts['reasons'] = [str(warning.message).splitlines()[0] for warning in caught]
if facts['count']:
    facts['device'] = torch.cuda.get_device_name()
    facts['capability'] = 'sm_%d%d' % torch.cuda.get_device_capability()
    facts['architectures'] = torch.cuda.get_arch_list()
    try:
        torch.ones(1, device='cuda').sum().item()
    except Exception as error:
        facts['error'] = str(error).splitlines()[0]
print(json.dumps(facts))
"""
_USE_OPERATORS = """
import torch
from mmcv.ops import get_compiling_cuda_version, nms
for device in ['cpu'] + ['cuda'] * torch.cuda.is_available():
    nms(torch.tensor([[0., 0, 1, 1]], device=device), torch.ones(1, device=device), 0.5)
if {driver!r} and get_compiling_cuda_version() == 'not available':
    raise RuntimeError('mmcv has no CUDA operators')
"""
_TRY_NVCC = r"""
import re, subprocess, torch
from torch.utils.cpp_extension import CUDA_HOME
found = re.search(r'release (\d+)\.\d+', subprocess.getoutput(f'{CUDA_HOME}/bin/nvcc --version'))
if torch.version.cuda and (not found or found[1] != torch.version.cuda.split('.')[0]):
    print(f'; nvcc: {found[0] + " in " + CUDA_HOME if found else "none"}, '
          f'torch needs {torch.version.cuda}')
"""
# {CUDA: driver}, major versions:
# https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html
_OLDEST_DRIVERS = {'11': 450, '12': 525, '13': 580}


def check_python() -> Finding:
    """Whether Python can run mmcv's setup.py, if mmcv is not installed yet."""
    message = f'{sys.version.split()[0]}, {sys.executable}'
    if sys.version_info >= (3, 13) and not find_spec('mmcv'):
        return Finding('warning', f"{message}: mmcv 2.1.0 doesn't compile on 3.13 or newer",
                       'make install PYTHON=python3.11  # or: make install STACK=onedl')
    return Finding('ok', message)


def check_module(module: str, code: str, default_fix: str = '') -> Finding:
    """Runs code that uses a module.

    Args:
        module: The module to check.
        code: Code that fails if the module doesn't work.
        default_fix: The fix for unknown symptoms; by default, installing the module.
    """
    fix = default_fix or install(module)
    spec = find_spec(module)
    if not spec:
        return Finding('wrong', 'not installed', fix)
    names = _name_versions(module) or str(spec.origin)
    try:
        probe(code)
    except Broken as error:
        return Finding('wrong', f'{names}: {error}', find_fix(error, fix))
    distributions = set(packages_distributions().get(module, ()))
    if len({version(name) for name in distributions}) > 1:
        return Finding('warning', f'{names} are in the same folder',
                       f'{PIP} uninstall -y {" ".join(sorted(distributions))} && {install(module)}')
    return Finding('ok', names)


def check_operators() -> Finding:
    """Whether mmcv's operators work, on a GPU too; if not, whether nvcc could compile them."""
    driver = find_driver()
    finding = check_module('mmcv', _USE_OPERATORS.format(driver=driver), build_mmcv())
    if finding.state == 'wrong' and driver:
        try:
            return finding._replace(message=finding.message + probe(_TRY_NVCC))
        except Broken:  # torch, which has a check of its own
            pass
    return finding


def check_undeclared() -> Finding:
    """The packages that mmseg imports but does not declare."""
    missing = [module for module in ('ftfy', 'regex') if not find_spec(module)]
    if missing:
        return Finding('wrong', f'mmseg imports {" and ".join(missing)}, which it does not declare',
                       f'{PIP} install {" ".join(missing)}')
    return Finding('ok', ', '.join(_name_versions(module) for module in ('ftfy', 'regex')))


def check_pkg_resources() -> Finding:
    """OpenMMLab's mmengine needs pkg_resources for `mmdet::`, and mmcv's setup.py to run."""
    names = _name_versions('setuptools') or 'no setuptools'
    if find_spec('pkg_resources') or _name_versions('mmengine').startswith('onedl-'):
        return Finding('ok', names)
    return Finding('warning', f'{names}, without pkg_resources: a config with '
                   "_base_ = 'mmdet::...' does not load, and mmcv does not compile",
                   install('pkg_resources'))


def check_extra(module: str, code: str, users: str) -> Finding:
    """Like `check_module`, of a library that only `users` need."""
    if not find_spec(module):
        return Finding('ok', f'not installed; only {users} need it')
    return check_module(module, code)


def check_torchvision() -> Finding:
    """mmengine imports torchvision if it is installed, and fails if that doesn't load."""
    if not find_spec('torchvision'):
        return Finding('ok', 'not installed; nothing needs it')
    return check_module('torchvision', 'import torchvision', f'{PIP} uninstall -y torchvision')


def check_cuda() -> Finding:
    """Whether torch can compute on this machine's GPU, if it has one."""
    try:
        facts = json.loads(probe(_TRY_CUDA))
    except Broken as error:
        return Finding('wrong', str(error), find_fix(error, install('torch')))
    driver = find_driver()
    if not driver and not facts['count']:
        return Finding('warning', 'no GPU: enough for --toy, not for COCO or ADE20K',
                       'train on a machine with an NVIDIA GPU and its driver')
    if not facts['build']:
        return Finding('wrong', f'driver {driver}, but this torch is built for CPUs only',
                       f'{PIP} install --force-reinstall torch && {build_mmcv()}')
    build = f'built for CUDA {facts["build"]}, driver {driver}'
    if not facts['count']:
        visible = os.environ.get('CUDA_VISIBLE_DEVICES')
        if visible is not None:
            return Finding('wrong', f'{build}, but CUDA_VISIBLE_DEVICES={visible!r} hides the GPU',
                           'unset CUDA_VISIBLE_DEVICES')
        oldest = _OLDEST_DRIVERS.get(facts['build'].partition('.')[0], 0)
        if int(driver.partition('.')[0]) < oldest:
            facts['reasons'].insert(0, f'this CUDA needs driver {oldest} or newer')
        return Finding('wrong', '; '.join([f'{build}, but torch finds no GPU', *facts['reasons']]),
                       'update the driver, or install a torch for the CUDA version that nvidia-smi '
                       'shows: https://pytorch.org/get-started')
    device = f'{facts["count"]} x {facts["device"]}, {facts["capability"]}'
    if 'error' in facts:
        return Finding('wrong', f'{device}, but torch has {" ".join(facts["architectures"])}: '
                       f'{facts["error"]}',
                       'install a torch that supports this architecture: '
                       'https://pytorch.org/get-started')
    return Finding('ok', f'{device}; {build}')


def _name_versions(module: str) -> str:
    """The distributions that provide a module, and their versions."""
    names = sorted(set(packages_distributions().get(module, ())))
    return ', '.join(f'{name} {version(name)}' for name in names)
