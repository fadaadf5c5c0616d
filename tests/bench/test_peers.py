import pytest
import torch

from twins_mm.bench.peers import PEERS, _Exported


def test_exported_backbone_is_measured_in_what_it_can_do_alone(tmp_path):
    if not PEERS['onnxruntime'].is_installed:
        pytest.skip('onnxruntime is not installed')
    from twins_mm.export.onnx_file import export
    export(torch.nn.ReLU(), ['level'], tmp_path / 'backbone.onnx', torch.float)
    model = _Exported(tmp_path / 'backbone.onnx').train(False)
    images = torch.randn(1, 3, 70, 90)
    assert torch.equal(model(images)[0], images.relu())
    with pytest.raises(RuntimeError, match='inference only'):
        model.train(True)
    with torch.autocast('cpu', torch.bfloat16), pytest.raises(RuntimeError, match='float32 only'):
        model(images)
