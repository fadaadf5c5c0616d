"""The commands that fix known problems."""
import os
import re
import shutil
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

from .probe import Broken, find_driver


def _name_pip() -> str:
    """The shortest name of this environment's pip."""
    pip = Path(sys.executable).with_name('pip')
    if shutil.which('pip') == str(pip):
        return 'pip'
    return os.path.relpath(pip) if Path.cwd() in pip.parents else str(pip)


PIP = _name_pip()

# What the Makefile installs.
_OPENMMLAB = dict(mmengine='mmengine', mmcv='mmcv==2.1.0', mmdet='mmdet==3.3.0',
                  mmseg='mmsegmentation==1.2.2')
_ONEDL = dict(mmengine='onedl-mmengine', mmcv='onedl-mmcv==2.3.6', mmdet='onedl-mmdetection==3.5.1',
              mmseg='onedl-mmsegmentation==1.4.2')
_OTHERS = dict(cv2='opencv-python', yaml='pyyaml', PIL='pillow', sklearn='scikit-learn',
               mpl_toolkits='matplotlib', pkg_resources='"setuptools<81"', twins_mm='-e .')

def uses_forks() -> bool:
    """Whether mmdet or mmseg are the maintained forks."""
    modules = packages_distributions()
    return any(name.startswith('onedl-') for module in ('mmdet', 'mmseg')
               for name in modules.get(module, ()))


def install(module: str) -> str:
    """The command that installs a module's distribution."""
    package = {**_OTHERS, **(_ONEDL if uses_forks() else _OPENMMLAB)}.get(module, module)
    isolation = '--no-build-isolation ' if package.startswith('onedl-') else ''
    return f'{PIP} install {isolation}{package}'


def build_mmcv() -> str:
    """The command that compiles mmcv's operators for the installed torch, and a GPU if any."""
    package = (_ONEDL if uses_forks() else _OPENMMLAB)['mmcv']
    # The Makefile brings the compiler; an environment of the user's own needs a toolkit.
    make, compiler = ('make install CUDA=1  # or, without make: ',
                      'FORCE_CUDA=1 CUDA_HOME=TOOLKIT ') if find_driver() else ('', '')
    return (f'{make}{PIP} install "setuptools<81" wheel ninja psutil && '
            f'MMCV_WITH_OPS=1 {compiler}{PIP} install --no-build-isolation --no-cache-dir '
            f'--force-reinstall --no-deps {package}')


def find_fix(error: Broken, default: str) -> str:
    """The command for the first known symptom, in the exception or in the output before it."""
    symptoms = (
        (r'lib(GL|EGL|gthread|glib|SM|ICE|X\w*|xcb)[\w.+-]*\.so', lambda _:
         f'{PIP} uninstall -y opencv-python && {PIP} install --force-reinstall --no-deps '
         'opencv-python-headless  # or: apt-get install libgl1 libglib2.0-0'),
        (r'for device cuda|CUDA operators|no kernel image|mmcv[./]_ext|MMCV==\S+ is used but',
         lambda _: build_mmcv()),
        (r'MMEngine==\S+ is used but', lambda _: install('mmengine')),
        (r'torchvision', lambda _: f'{PIP} uninstall -y torchvision'),
        (r'NumPy 1\.x|numpy\.core\.multiarray failed|dtype size changed|_ARRAY_API',
         lambda _: f'{PIP} install "numpy<2" "opencv-python<4.12"'),
        (r"No module named 'mmcv'", lambda _: build_mmcv()),
        (r"No module named '(\w+)", lambda match: install(match[1])),
    )
    for text in (str(error), error.output):
        for pattern, fix in symptoms:
            match = re.search(pattern, text)
            if match:
                return fix(match)
    return default
