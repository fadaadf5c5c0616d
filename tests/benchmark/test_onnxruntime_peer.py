import subprocess
import sys

import pytest
import torch


def test_exported_backbone_runs_only_what_onnxruntime_can(tmp_path):
    pytest.importorskip('torch', '2.9')
    from twins_mm.benchmark.onnxruntime_peer import OnnxBackbone
    from twins_mm.export.onnx_file import export

    export(torch.nn.ReLU(), ['level'], tmp_path / 'backbone.onnx', torch.float)
    model = OnnxBackbone(tmp_path / 'backbone.onnx').train(False)
    images = torch.randn(1, 3, 70, 90)
    assert torch.equal(model(images)[0], images.relu())
    with pytest.raises(RuntimeError, match='inference only'):
        model.train(True)
    with pytest.raises(RuntimeError, match='float32 only'):
        model(images.bfloat16())


def test_is_no_peer_without_onnxruntime():
    """And the other peers are there all the same."""
    code = (
        "import sys; sys.modules['onnxruntime'] = None\n"
        'from twins_mm.benchmark.peers import PEERS\n'
        "assert PEERS['twins_mm'].is_installed and not PEERS['onnxruntime'].is_installed"
    )
    subprocess.run([sys.executable, '-c', code], check=True)
