"""Our backbones in onnxruntime; as a script, `python -m ... VARIANT PATH`, it exports one."""

import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from mmengine.registry import MODELS
from torch import nn

from ..export.comparison import OnnxModel
from ..export.onnx_file import export
from ..models.variants import VARIANTS


class OnnxBackbone(nn.Module):
    """An exported backbone, for inference in float32 on a CPU only."""

    def __init__(self, path: Path):
        super().__init__()
        self.levels = OnnxModel(path)

    def train(self, mode: bool = True) -> nn.Module:
        if mode:
            raise RuntimeError('inference only')
        return self

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if images.dtype != torch.float32:
            raise RuntimeError('float32 only')
        return self.levels(images)


def build_exported(variant: str) -> OnnxBackbone:
    """A variant with random weights, exported and loaded."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'backbone.onnx')
        # In a process of its own: the memory that exporting takes is not the model's.
        subprocess.run(
            [sys.executable, '-m', __name__, variant, path],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return OnnxBackbone(path)


if __name__ == '__main__':
    variant, path = sys.argv[1:]
    backbone = MODELS.build(VARIANTS[variant].backbone).eval()
    outputs = [f'stride_{4 * 2**stage}' for stage in backbone.out_indices]
    export(backbone, outputs, Path(path), torch.float32)
