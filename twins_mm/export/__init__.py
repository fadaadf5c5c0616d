"""Trained models in ONNX: exported, checked against PyTorch, and timed.

Raises:
    ImportError: torch is too old, or a package is missing; it says what to install.
"""

from importlib import import_module

import torch
from mmengine.utils import digit_version

# The first whose `torch.export.export` can defer what it can't prove for every size.
TORCH = '2.9'
PACKAGES = 'onnx', 'onnx_ir', 'onnxscript', 'onnxruntime'

if digit_version(torch.__version__) < digit_version(TORCH):
    raise ImportError(f'Exporting needs torch {TORCH} or newer; this is {torch.__version__}')
for _package in PACKAGES:
    try:
        import_module(_package)
    except ImportError as error:
        raise ImportError(
            f'Exporting needs {_package}: pip install {" ".join(PACKAGES)}\n({error})'
        ) from None
