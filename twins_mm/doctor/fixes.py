"""The commands that fix known problems, and where mmcv and its operators are."""

import os
import re
import shutil
import site
import sys
from importlib.machinery import PathFinder
from importlib.metadata import distributions, packages_distributions
from importlib.util import find_spec
from pathlib import Path

from .probe import Broken, find_driver


def _name_pip() -> str:
    """The shortest name of this environment's pip."""
    pip = Path(sys.executable).with_name('pip')
    if shutil.which('pip') == str(pip):
        return 'pip'
    return os.path.relpath(pip) if Path.cwd() in pip.parents else str(pip)


PIP = _name_pip()

OTHER_TORCH = 'install a torch that supports this architecture: https://pytorch.org/get-started'

# As in setup.py; the forks as in the Makefile.
_OPENMMLAB = dict(
    mmengine='"mmengine>=0.10.4"',
    mmcv='"mmcv-lite>=2.0,<2.2"',
    mmdet='"mmdet>=3.3.0,<4"',
    mmseg='"mmsegmentation>=1.2.2,<2"',
)
# An isolated build of onedl-mmcv finds no torch to compile for; one in pip's cache may be compiled.
_ONEDL = dict(
    mmengine='onedl-mmengine',
    mmcv='--no-cache-dir onedl-mmcv==2.3.6',
    mmdet='--no-build-isolation onedl-mmdetection==3.5.1',
    mmseg='--no-build-isolation onedl-mmsegmentation==1.4.2',
    mmcv_operators='--no-deps -e .',
    twins_mm='--no-deps -e .',
)
_OTHERS = dict(
    cv2='opencv-python',
    yaml='pyyaml',
    PIL='pillow',
    sklearn='scikit-learn',
    mpl_toolkits='matplotlib',
    pkg_resources='"setuptools<81"',
    mmcv_operators='-e .',
    twins_mm='-e .',
)


def uses_forks() -> bool:
    """Whether mmdet or mmseg are the maintained forks."""
    modules = packages_distributions()
    return any(
        name.startswith('onedl-')
        for module in ('mmdet', 'mmseg')
        for name in modules.get(module, ())
    )


def install(module: str, options: str = '') -> str:
    """The command that installs a module's distribution, with further options of pip."""
    package = {**_OTHERS, **(_ONEDL if uses_forks() else _OPENMMLAB)}.get(module, module)
    return ' '.join([f'{PIP} install', *options.split(), package])


def replace_mmcv() -> str:
    """The command that installs mmcv without compiled operators, in place of any other."""
    names = sorted(set(packages_distributions().get('mmcv', ())))
    # Each of two in a folder would take the other's files with it.
    return (f'{PIP} uninstall -y {" ".join(names)} && ' if names else '') + install('mmcv')


def replace_torch() -> str:
    """The command that installs torch and torchvision, for GPUs, in place of any others."""
    # --force-reinstall would also bring a setuptools without pkg_resources.
    return f'{PIP} uninstall -y torch torchvision && {PIP} install torch torchvision'


def replace_torchvision(is_needed: bool = False) -> str:
    """The command that installs the torchvision for the installed torch, in place of any other.

    One that nothing needs is only removed.
    """
    torch = next((found.version for found in distributions(name='torch')), '')
    driver = find_driver()
    if not torch or driver and torch.endswith('+cpu'):
        return replace_torch()
    installed = find_spec('torchvision')
    uninstall = f'{PIP} uninstall -y torchvision'
    if installed and not (is_needed or driver or any(map(find_spec, ('mmpretrain', 'timm')))):
        return uninstall
    build = re.search(r'\+(cpu|cu\d+|rocm[\d.]+|xpu)$', torch)
    index = f' --index-url https://download.pytorch.org/whl/{build[1]}' if build else ''
    # Without torch's version, pip takes the newest torchvision, and changes torch to fit it.
    fitting = f'{PIP} install torchvision torch=={torch}{index}'
    return f'{uninstall} && {fitting}' if installed else fitting


def find_mmcv() -> Path | None:
    """mmcv's folder; None if it isn't installed, or all that is left in it is what we added."""
    spec = find_spec('mmcv')
    return Path(spec.origin).parent if spec and spec.origin else None


def is_compiled() -> bool:
    """Whether mmcv has compiled operators, which may not load."""
    mmcv = find_mmcv()
    spec = PathFinder.find_spec('mmcv._ext', [str(mmcv)]) if mmcv else None
    return bool(spec and spec.origin and not spec.origin.endswith('.py'))


def find_added() -> str:
    """The folder of packages in which installing twins_mm put `mmcv/_ext.py`, or ''."""
    return next((path for path in sys.path if Path(path, 'mmcv/_ext.py').is_file()), '')


def unite_mmcv() -> str:
    """The command that brings mmcv and our `mmcv/_ext.py` into one folder."""
    mmcv, added = find_mmcv(), find_added()
    if not mmcv or not added:
        return install('twins_mm')
    if str(mmcv.parent) in sys.path[: sys.path.index(added)]:  # it would hide another mmcv
        return f'cp {added}/mmcv/_ext.py {mmcv}'
    user = '--user ' if added == site.getusersitepackages() else ''
    return install('mmcv', f'{user}--ignore-installed --no-deps')


def find_fix(error: Broken, default: str) -> str:
    """The command for the first known symptom, in the exception or in the output before it."""
    symptoms = (
        (
            r'^still running after',
            lambda _: 'run this again: a slow disk is faster the second time',
        ),
        (r'^nvidia-smi', lambda _: 'restart the machine: a GPU or its driver hangs'),
        (
            r'lib(GL|EGL|gthread|glib|SM|ICE|X\w*|xcb)[\w.+-]*\.so',
            lambda _: (
                f'{PIP} uninstall -y opencv-python && {PIP} install --force-reinstall --no-deps '
                'opencv-python-headless  # or: apt-get install libgl1 libglib2.0-0'
            ),
        ),
        (r"No module named 'mmcv\._ext'", lambda _: unite_mmcv()),
        (
            r"mmcv[./]_ext|MMCV==\S+ is used but|module 'mmcv' has no attribute|"
            r"No module named 'mmcv['.]",
            lambda _: replace_mmcv(),
        ),
        (r'no kernel image', lambda _: replace_mmcv() if is_compiled() else OTHER_TORCH),
        (r'MMEngine==\S+ is used but', lambda _: install('mmengine')),
        (r"No module named 'torchvision", lambda _: replace_torchvision(is_needed=True)),
        (r'torchvision', lambda _: replace_torchvision()),
        (
            r'NumPy 1\.x|numpy\.core\.multiarray failed|dtype size changed|_ARRAY_API',
            lambda _: f'{PIP} install "numpy<2" "opencv-python<4.12"',
        ),
        (r"No module named '(\w+)", lambda match: install(match[1])),
    )
    for text in (str(error), error.output):
        for pattern, fix in symptoms:
            match = re.search(pattern, text)
            if match:
                return fix(match)
    return default
