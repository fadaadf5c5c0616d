import onnx
import pytest
import torch

from twins_mm.deployment.check import LIMITS, OnnxModel, check, read_images
from twins_mm.deployment.deployable import make_deployable
from twins_mm.deployment.onnx_export import export, quantize
from twins_mm.errors import UserError


def test_segmentor_at_any_size_in_every_precision(tiny_model, tmp_path):
    """Windows whose mask comes and goes with the size, pooling, and resizing."""
    cfg, model = tiny_model('upernet_twins_svt_s_160k',
                            **{'model.backbone.window_padding': 'mask_legacy'})
    deployable = make_deployable(model, cfg.model.data_preprocessor)
    path = tmp_path / 'model.onnx'
    export(deployable, list(deployable.outputs), path)
    rows = check(model, deployable, OnnxModel(path), read_images())
    assert [(row['images'], row['height x width']) for row in rows[3:]] == [
        (2, '224 x 320'), (1, '333 x 251'), (2, '333 x 251')]
    assert max(row['differing'] for row in rows) < LIMITS['float32']
    assert min(row['classes'] for row in rows) > 5

    written = onnx.load(path)
    assert [entry.domain for entry in written.opset_import] == ['']
    sides = [dim.dim_param or dim.dim_value
             for dim in written.graph.input[0].type.tensor_type.shape.dim]
    assert sides == ['batch', 3, 'height', 'width']
    assert [path.name for path in tmp_path.iterdir() if path.suffix != '.py'] == ['model.onnx']

    size = path.stat().st_size
    quantize(path)
    assert path.stat().st_size < size
    assert any(node.op_type == 'MatMulInteger' for node in onnx.load(path).graph.node)
    rows = check(model, deployable, OnnxModel(path), read_images())
    assert max(row['differing'] for row in rows) < LIMITS['int8']


class Custom(torch.nn.Module):
    def forward(self, images):
        return torch.onnx.ops.symbolic('elsewhere::Strange', [images], {}, dtype=torch.float,
                                       shape=images.shape)


def test_operators_that_are_not_in_the_standard_are_refused(tmp_path):
    with pytest.raises(UserError, match='elsewhere::Strange'):
        export(Custom(), ['result'], tmp_path / 'model.onnx')
    assert not list(tmp_path.iterdir())
