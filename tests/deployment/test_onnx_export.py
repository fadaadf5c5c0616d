import onnx
import pytest
import torch

from twins_mm.deployment.check import LIMITS, OnnxModel, check, read_images
from twins_mm.deployment.deployable import _PoolByProducts, make_deployable
from twins_mm.deployment.onnx_export import export
from twins_mm.errors import UserError


def test_detector_of_any_size(tiny_model, tmp_path):
    """Windows whose mask comes and goes with the size, anchors, decoding, suppression."""
    cfg, model = tiny_model('retinanet_twins_svt_s_1x', **{
        'model.backbone.window_padding': 'mask_legacy',
        'model.backbone.arch.depths': (1, 2, 1, 1),
        'model.bbox_head.stacked_convs': 1})
    deployable = make_deployable(model, cfg.model.data_preprocessor)
    path = tmp_path / 'model.onnx'
    export(deployable, list(deployable.outputs), path)
    assert not path.with_name('model.onnx.partial').exists()

    rows = check(model, deployable, OnnxModel(path), read_images())
    assert [(row['images'], row['height x width']) for row in rows[3:]] == [
        (2, '224 x 320'), (1, '333 x 251'), (2, '333 x 251')]
    assert max(row['differing'] for row in rows) < LIMITS['float32']
    assert min(row['detections'] for row in rows) > 50

    written = onnx.load(path)
    assert [entry.domain for entry in written.opset_import] == ['']
    assert {'MatMul', 'NonMaxSuppression'} < {node.op_type for node in written.graph.node}
    shapes = {value.name: [dim.dim_param or dim.dim_value
                           for dim in value.type.tensor_type.shape.dim]
              for value in (*written.graph.input, *written.graph.output)}
    assert shapes == dict(image=['batch', 3, 'height', 'width'], boxes=['batch', 100, 4],
                          scores=['batch', 100], labels=['batch', 100])


class Pools(torch.nn.Module):
    def forward(self, images):
        return tuple(_PoolByProducts(bins)(images) for bins in (1, 2, 3, 6))


def test_pooling_of_any_size(tmp_path):
    export(Pools(), ['a', 'b', 'c', 'd'], tmp_path / 'pools.onnx', torch.float)
    pools = OnnxModel(tmp_path / 'pools.onnx')
    for size in (1, 7), (6, 5), (13, 16):
        x = torch.rand(2, 3, *size)
        for bins, pooled in zip((1, 2, 3, 6), pools(x)):
            torch.testing.assert_close(
                pooled, torch.nn.functional.adaptive_avg_pool2d(x, bins))


class Custom(torch.nn.Module):
    def forward(self, images):
        return torch.onnx.ops.symbolic('elsewhere::Strange', [images], {}, dtype=torch.float,
                                       shape=images.shape)


def test_operators_that_are_not_in_the_standard_are_refused(tmp_path):
    with pytest.raises(UserError, match='elsewhere::Strange'):
        export(Custom(), ['result'], tmp_path / 'model.onnx')
    assert not list(tmp_path.iterdir())
