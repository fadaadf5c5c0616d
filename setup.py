"""Declares the package. The order in which to install what it needs is in the Makefile."""
import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
DEPLOY = ['onnx', 'onnxscript', 'onnxruntime']

setup(
    name='twins_mm',
    version=re.search(r"__version__ = '(.+)'", (ROOT / 'twins_mm/__init__.py').read_text())[1],
    description='Twins-PCPVT and Twins-SVT backbones and recipes for mmdet and mmseg',
    long_description=(ROOT / 'README.md').read_text(),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    packages=find_packages(include=['twins_mm', 'twins_mm.*']),
    python_requires='>=3.10',
    install_requires=[
        'torch>=2.1',
        'mmengine>=0.10.4',
        'mmcv>=2.0.0,<2.2.0',  # mmdet 3.3.0 and mmsegmentation 1.2.2 refuse 2.2.0
        'mmdet>=3.3.0,<4',
        'mmsegmentation>=1.2.2,<2',
        'ftfy', 'regex',  # mmsegmentation imports them and does not declare them
        'huggingface_hub>=0.24', 'safetensors',
    ],
    extras_require={
        'deploy': DEPLOY,
        'test': [*DEPLOY, 'pytest', 'pytest-xdist', 'ruff', 'codespell', 'pre-commit'],
    },
)
