"""Operators whose result's shape depends on data stay out of torch.compile's graphs."""

import pytest
import torch
from mmcv.ops import batched_nms, roi_align
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from operators.cases import align_case, nms_case


def test_functions_of_operators_compile():
    case = nms_case(21)

    def find(features, boxes, scores):
        labels = torch.arange(len(boxes)) % 2
        kept, _ = batched_nms(boxes, scores, labels, dict(type='nms', iou_threshold=0.5))
        rois = torch.cat((labels[: len(kept), None], kept[:, :4]), 1)
        return kept * 2, roi_align(features, rois, 7, 0.25, 0, 'avg', True) + 1

    arguments = (align_case(0)[0].requires_grad_(), case['boxes'], case['scores'])
    expected = find(*arguments)
    outputs = torch.compile(find, backend='aot_eager')(*arguments)
    for output, other in zip(outputs, expected):
        torch.testing.assert_close(output, other)
    grads = [
        torch.autograd.grad(pooled.sum(), arguments[0])[0] for _, pooled in (outputs, expected)
    ]
    torch.testing.assert_close(*grads)


@pytest.mark.large
@pytest.mark.parametrize('name', ['retinanet_twins_svt_s_1x', 'mask_rcnn_twins_svt_s_1x'])
def test_compiled_detectors_predict_as_in_eager_mode(name, tiny_config):
    cfg = Config.fromfile(tiny_config(name))
    init_default_scope('mmdet')
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).eval()
    image = (torch.rand(3, 128, 160) * 255).byte()

    def predict():
        sample = DetDataSample(
            metainfo=dict(img_shape=(128, 160), ori_shape=(128, 160), scale_factor=(1.0, 1.0))
        )
        return model.test_step(dict(inputs=[image], data_samples=[sample]))[0].pred_instances

    head = model.bbox_head if hasattr(model, 'bbox_head') else model.rpn_head
    torch.nn.init.normal_(getattr(head, 'retina_cls', getattr(head, 'rpn_cls', None)).weight)
    expected = predict()
    assert len(expected)
    model.forward = torch.compile(model.forward, backend='aot_eager')
    found = predict()
    assert torch.equal(found.labels, expected.labels)
    torch.testing.assert_close(found.bboxes, expected.bboxes, atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(found.scores, expected.scores, atol=1e-4, rtol=1e-4)
