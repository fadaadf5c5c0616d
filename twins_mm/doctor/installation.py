"""Python, its packages, and the GPU."""

import json
import os
import sys
from importlib.metadata import distributions, packages_distributions, version
from importlib.util import find_spec

from .fixes import (
    OTHER_TORCH,
    PIP,
    find_added,
    find_fix,
    find_mmcv,
    install,
    is_compiled,
    replace_mmcv,
    replace_torch,
    replace_torchvision,
)
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
from mmcv.ops import get_compiling_cuda_version, nms, roi_align
from mmcv import _ext
devices = dict(cpu='CPUs', cuda='CUDA') if torch.cuda.is_available() else dict(cpu='CPUs')
for device in devices:
    rois = torch.tensor([[0., 0, 0, 1, 1]], device=device)
    roi_align(torch.ones(1, 1, 2, 2, device=device), rois, 1)
    nms(torch.tensor([[0., 0, 1, 1]], device=device), torch.ones(1, device=device), 0.5)
if _ext.__file__.endswith('.py'):
    from mmcv_operators.kernels import name_backend
    print(', '.join(f'on {name} by {name_backend(device)}' for device, name in devices.items()))
else:
    cuda = get_compiling_cuda_version()
    print('compiled for ' + ('CPUs' if cuda == 'not available' else f'CUDA {cuda}'))
"""
# {CUDA: driver}, major versions:
# https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html
_OLDEST_DRIVERS = {'11': 450, '12': 525, '13': 580}


def check_python() -> Finding:
    """Whether OpenMMLab's packages run on this Python."""
    message = f'{sys.version.split()[0]}, {sys.executable}'
    if sys.version_info >= (3, 14):
        return Finding(
            'wrong',
            f'{message}: mmcv and mmengine call pkgutil.find_loader, which is gone in 3.14',
            'install everything with Python 3.10 to 3.13',
        )
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
    packages = set(packages_distributions().get(module, ()))
    if len({version(name) for name in packages}) > 1:
        return Finding(
            'warning',
            f'{names} are in the same folder',
            f'{PIP} uninstall -y {" ".join(sorted(packages))} && {install(module)}',
        )
    return Finding('ok', names)


def check_operators() -> Finding:
    """Which operators of mmcv run here, on a GPU too: compiled, torchvision's or torch's."""
    mmcv = find_mmcv()
    if not mmcv:
        return Finding('wrong', 'mmcv is not installed', replace_mmcv())
    # Others, elsewhere on the path, are hidden by it.
    packages = sorted(
        {
            f'{found.name} {found.version}'
            for found in distributions(path=[str(mmcv.parent)])
            if 'mmcv' in (found.read_text('top_level.txt') or '').split()
        }
    )
    names = ', '.join(packages) or str(mmcv)
    try:
        used = probe(_USE_OPERATORS)
    except Broken as error:
        reason = str(error)
        if "No module named 'mmcv._ext'" in reason:
            added = find_added()
            reason = (
                f'it is in {mmcv.parent}, but its operators, mmcv/_ext.py, in {added}'
                if added
                else 'without mmcv/_ext.py, which installing twins_mm adds'
            )
        return Finding('wrong', f'{names}: {reason}', find_fix(error, replace_mmcv()))
    message = f'{names}; {used}'
    if used == 'compiled for CPUs' and find_driver():
        return Finding('wrong', f'{message} only', replace_mmcv())
    if len(packages) > 1:
        return Finding(
            'warning',
            f"{message}; in the same folder, where uninstalling one removes the other's files",
            replace_mmcv(),
        )
    if 'on CUDA by torch ' in used:
        return Finding(
            'warning', f"{message}, which is slower than torchvision's", replace_torchvision()
        )
    return Finding('ok', message)


def check_undeclared() -> Finding:
    """The packages that mmseg imports but does not declare."""
    missing = [module for module in ('ftfy', 'regex') if not find_spec(module)]
    if missing:
        return Finding(
            'wrong',
            f'mmseg imports {" and ".join(missing)}, which it does not declare',
            f'{PIP} install {" ".join(missing)}',
        )
    return Finding('ok', ', '.join(_name_versions(module) for module in ('ftfy', 'regex')))


def check_pkg_resources() -> Finding:
    """OpenMMLab's mmengine needs pkg_resources for `mmdet::`."""
    names = _name_versions('setuptools') or 'no setuptools'
    if find_spec('pkg_resources') or _name_versions('mmengine').startswith('onedl-'):
        return Finding('ok', names)
    return Finding(
        'warning',
        f"{names}, without pkg_resources: a config with _base_ = 'mmdet::...' does not load",
        install('pkg_resources'),
    )


def check_extra(module: str, code: str, users: str) -> Finding:
    """Like `check_module`, of a library that only `users` need."""
    if not find_spec(module):
        return Finding('ok', f'not installed; only {users} need it')
    return check_module(module, code)


def check_torchvision() -> Finding:
    """Whether torchvision loads: mmengine imports any that it finds, for a run's log."""
    if find_spec('torchvision'):
        return check_module('torchvision', 'import torchvision', replace_torchvision())
    if find_driver() and not is_compiled():
        return Finding(
            'warning', 'not installed; operators on a GPU are slower without', replace_torchvision()
        )
    return Finding('ok', 'not installed; mmpretrain needs it, and a GPU is faster with it')


def check_cuda() -> Finding:
    """Whether torch can compute on this machine's GPU, if it has one."""
    try:
        facts = json.loads(probe(_TRY_CUDA))
    except Broken as error:
        return Finding('wrong', str(error), find_fix(error, install('torch')))
    driver = find_driver()
    if not driver and not facts['count']:
        return Finding(
            'warning',
            'no GPU: enough for --toy, not for COCO or ADE20K',
            'train on a machine with an NVIDIA GPU and its driver',
        )
    if not facts['build']:
        return Finding(
            'wrong', f'driver {driver}, but this torch is built for CPUs only', replace_torch()
        )
    build = f'built for CUDA {facts["build"]}, driver {driver}'
    if not facts['count']:
        visible = os.environ.get('CUDA_VISIBLE_DEVICES')
        if visible is not None:
            return Finding(
                'wrong',
                f'{build}, but CUDA_VISIBLE_DEVICES={visible!r} hides the GPU',
                'unset CUDA_VISIBLE_DEVICES',
            )
        oldest = _OLDEST_DRIVERS.get(facts['build'].partition('.')[0], 0)
        if int(driver.partition('.')[0]) < oldest:
            facts['reasons'].insert(0, f'this CUDA needs driver {oldest} or newer')
        return Finding(
            'wrong',
            '; '.join([f'{build}, but torch finds no GPU', *facts['reasons']]),
            'update the driver, or install a torch for the CUDA version that nvidia-smi '
            'shows: https://pytorch.org/get-started',
        )
    device = f'{facts["count"]} x {facts["device"]}, {facts["capability"]}'
    if 'error' in facts:
        return Finding(
            'wrong',
            f'{device}, but torch has {" ".join(facts["architectures"])}: {facts["error"]}',
            OTHER_TORCH,
        )
    return Finding('ok', f'{device}; {build}')


def _name_versions(module: str) -> str:
    """The distributions that provide a module, and their versions."""
    names = sorted(set(packages_distributions().get(module, ())))
    return ', '.join(f'{name} {version(name)}' for name in names)
