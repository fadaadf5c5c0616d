import pytest
import torch

pytest.importorskip('torch', '2.9')

import onnxruntime

from twins_mm.export.suppression import SUPPRESS_IN_ONNX, suppress


def reference(boxes, scores, iou_threshold, max_boxes):
    """One image, in plain Python: from the highest score, what overlaps no box that is kept."""

    def area(box):
        return max(box[2] - box[0], 0) * max(box[3] - box[1], 0)

    kept = []
    for index in scores.argsort(descending=True).tolist():
        box = boxes[index]
        inner = [
            torch.cat(
                (torch.maximum(box[:2], boxes[other][:2]), torch.minimum(box[2:], boxes[other][2:]))
            )
            for other in kept
        ]
        overlaps = [
            area(part) / (area(box) + area(boxes[other]) - area(part))
            for part, other in zip(inner, kept)
        ]
        if scores[index] > 0 and all(overlap <= iou_threshold for overlap in overlaps):
            kept.append(index)
    result = torch.zeros_like(scores)
    result[kept[:max_boxes]] = scores[kept[:max_boxes]]
    return result


class Suppression(torch.nn.Module):
    def forward(self, boxes, scores):
        return suppress(boxes, scores, 0.4, 12)


def test_torch_and_onnx_keep_what_the_definition_keeps(tmp_path):
    torch.manual_seed(0)
    corners = torch.rand(3, 60, 2) * 30
    boxes = torch.cat((corners, corners + 5 + torch.rand(3, 60, 2) * 30), -1)
    scores = torch.rand(3, 60)
    scores[0, 10:] = 0  # fewer than may be kept
    expected = torch.stack([reference(*image, 0.4, 12) for image in zip(boxes, scores)])
    assert (expected > 0).sum(1).tolist() == [9, 12, 12]
    assert torch.equal(suppress(boxes, scores, 0.4, 12), expected)

    program = torch.export.export(Suppression(), (boxes, scores))
    torch.onnx.export(
        program, dynamo=True, custom_translation_table=SUPPRESS_IN_ONNX, verbose=False
    ).save(tmp_path / 'nms.onnx')
    session = onnxruntime.InferenceSession(tmp_path / 'nms.onnx')
    feed = dict(
        zip((value.name for value in session.get_inputs()), (boxes.numpy(), scores.numpy()))
    )
    assert torch.equal(torch.from_numpy(session.run(None, feed)[0]), expected)
