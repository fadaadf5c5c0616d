"""Exports a backbone alone, with random weights: `python -m ... VARIANT PATH`, for the bench."""
import sys
from pathlib import Path

import torch

from ..export.comparison import OnnxModel  # noqa: F401  the bench asks whether all that it needs is installed
from ..export.onnx_file import export
from .peers import build_ours

if __name__ == '__main__':
    variant, path = sys.argv[1:]
    backbone = build_ours(variant).eval()
    outputs = [f'stride_{4 * 2**stage}' for stage in backbone.out_indices]
    export(backbone, outputs, Path(path), torch.float32)
