import pytest
import torch

pytest.importorskip('torch', '2.9')

import onnxruntime
from mmcv.ops import roi_align

from twins_mm.export.roi_align import ALIGN_IN_ONNX, align


class Align(torch.nn.Module):
    def __init__(self, sampling_ratio):
        super().__init__()
        self.sampling_ratio = sampling_ratio

    def forward(self, features, rois):
        return align(features, rois, 7, 0.25, self.sampling_ratio)


@pytest.mark.parametrize('sampling_ratio', [0, 2])
def test_torch_and_onnx_are_mmcvs(sampling_ratio, tmp_path):
    """Boxes inside, beyond the map, and without area; of both images."""
    torch.manual_seed(0)
    features = torch.randn(2, 3, 20, 30)
    corners = torch.rand(40, 2, 2) * torch.tensor([150.0, 110.0]) - 15
    boxes = torch.cat((corners.amin(1), corners.amax(1)), 1)
    boxes[:4, 2:] = boxes[:4, :2]
    rois = torch.column_stack([torch.arange(40) % 2, boxes])
    expected = roi_align(features, rois, (7, 7), 0.25, sampling_ratio, 'avg', True)
    assert expected[::2].any() and expected[1::2].any()
    assert torch.equal(align(features, rois, 7, 0.25, sampling_ratio), expected)
    if sampling_ratio == 0:
        assert not expected[:4].any()

    program = torch.export.export(Align(sampling_ratio), (features, rois))
    torch.onnx.export(
        program,
        dynamo=True,
        custom_translation_table=ALIGN_IN_ONNX,
        verbose=False,
        opset_version=20,
    ).save(tmp_path / 'align.onnx')
    session = onnxruntime.InferenceSession(tmp_path / 'align.onnx')
    feed = dict(
        zip((value.name for value in session.get_inputs()), (features.numpy(), rois.numpy()))
    )
    torch.testing.assert_close(torch.from_numpy(session.run(None, feed)[0]), expected)
