"""Declares the package. The Makefile has the order in which to install its requirements."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
DEPLOY = ['onnx', 'onnx_ir', 'onnxscript', 'onnxruntime']
VIDEO = ['av']
LINT = ['codespell==2.4.3', 'mypy==2.4.1', 'ruff==0.17.6']  # as in .pre-commit-config.yaml


class Build(build_py):
    """Adds mmcv's operators, and configs, tools and their index in the folder OpenMMLab's have."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            _add_operators(Path(self.get_finalized_command('install').install_lib))
            return
        _add_operators(Path(self.build_lib))
        mim = Path(self.build_lib, 'twins_mm/.mim')
        shutil.rmtree(mim, ignore_errors=True)  # from an earlier build
        for folder in ('configs', 'tools'):
            shutil.copytree(
                ROOT / folder, mim / folder, ignore=shutil.ignore_patterns('__pycache__')
            )
        shutil.copy(ROOT / 'model-index.yml', mim)


def _add_operators(site_packages: Path) -> None:
    """Adds what mmcv-lite lacks, where mmcv looks for it; a compiled module goes first.

    As it is part of our wheel, pip removes it with us.
    """
    (site_packages / 'mmcv').mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / 'mmcv_operators/mmcv_ext.py', site_packages / 'mmcv/_ext.py')


setup(
    name='twins_mm',
    version=re.search(r"__version__ = '(.+)'", (ROOT / 'twins_mm/__init__.py').read_text())[1],
    description='Twins-PCPVT and Twins-SVT backbones and recipes for mmdet and mmseg',
    long_description=(ROOT / 'README.md').read_text(),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    packages=find_packages(include=['mmcv_operators', 'twins_mm', 'twins_mm.*']),
    package_data={'twins_mm': ['py.typed', '*/templates/*']},
    cmdclass={'build_py': Build},
    # mmcv and mmengine call pkgutil.find_loader, which is gone in 3.14.
    python_requires='>=3.10,<3.14',
    install_requires=[
        'torch>=2.1',
        'mmengine>=0.10.4',
        'mmdet>=3.3.0,<4',
        'mmsegmentation>=1.2.2,<2',
        # Imported but not declared: by mmsegmentation; by mmengine, pkg_resources for `mmdet::`.
        'ftfy',
        'regex',
        'setuptools<81',
        'huggingface_hub>=0.24',
        'jinja2',
        'safetensors',
        'matplotlib',
        'numpy',
        'opencv-python',
        'pillow',
        'prettytable>=3.12',
        'pycocotools',
        'rich',
    ],
    extras_require={
        'benchmark': ['timm'],
        'demo': ['gradio>=6.31,<7', 'starlette'],
        'deploy': DEPLOY,
        # mmpretrain also imports torchvision; only the user knows which fits their torch.
        'imagenet': ['mmpretrain>=1.2.0,<2', 'importlib-metadata<8'],
        # Not above: beside a compiled mmcv, it would overwrite that. mmdet and mmseg refuse 2.2.
        'lite': ['mmcv-lite>=2.0.0,<2.2.0'],
        'video': VIDEO,
        # setuptools before 70.1, which old torch needs, builds no wheel without the last.
        'test': [*DEPLOY, *LINT, *VIDEO, 'pytest', 'pytest-xdist', 'pre-commit', 'wheel'],
    },
)
