"""Inputs of mmcv's operators, the same on every machine and with every torch."""

import numpy as np
import torch

NMS_SETS = 2000
NMS_LARGE_SETS = 4
THRESHOLDS = (0.5, 0.3, 0.7, 0.1, 0.0, 1.0)
BINS = ((7, 7), (14, 14), (3, 5))
SCALES = (0.25, 1.0, 1 / 32)
MAPS = ((12, 16), (7, 20), (1, 1), (24, 18))
ALIGN_CASES = 36


def boxes_in(rng, number, extent, kind):
    """`(N, 4)` in a square; of whole pixels, IoUs are simple fractions."""
    if kind == 'pixels':
        corners, sides = rng.randint(0, 20, (number, 2)), rng.randint(0, 8, (number, 2))
    else:
        corners, sides = rng.rand(number, 2) * extent, rng.rand(number, 2) * extent / 5
    return torch.from_numpy(np.concatenate((corners, corners + sides), 1).astype(np.float32))


def nms_case(seed):
    """Arguments of `nms`, whose scores don't tie: up to 10,000 boxes in the first sets."""
    rng = np.random.RandomState(seed)
    number = 10_000 if seed < NMS_LARGE_SETS else seed % 3 if seed < 12 else rng.randint(100)
    boxes = boxes_in(rng, number, rng.rand() * 1000, 'pixels' if seed % 7 == 0 else 'anywhere')
    if seed % 11 == 0 and number:  # classes, as `batched_nms` moves them apart
        boxes = boxes + torch.from_numpy(rng.randint(4, size=(number, 1))) * (boxes.max() + 1)
    scores = torch.from_numpy(rng.permutation(number).astype(np.float32) / max(number, 1))
    return dict(boxes=boxes, scores=scores, iou_threshold=THRESHOLDS[seed % 6], offset=seed % 2)


def align_case(seed):
    """A map, RoIs, RoIAlign's other arguments, and a gradient of the result.

    RoIs of two images lie inside, across the map's sides and outside of it, some on whole pixels;
    two have no area. Some cases have no RoIs.
    """
    rng = np.random.RandomState(seed)
    (height, width), scale = MAPS[seed % 4], SCALES[seed % 3]
    bins = BINS[seed // 4 % 3]
    number = 0 if seed % 12 == 11 else 8
    corners = (rng.rand(number, 2, 2) * (1.6 * width, 1.6 * height) - 0.3 * height) / scale
    boxes = np.concatenate((corners.min(1), corners.max(1)), 1)
    boxes[:2, 2:] = boxes[:2, :2]
    boxes[2:4] = boxes[2:4].round()
    rois = np.concatenate((np.arange(number)[:, None] % 2, boxes), 1)
    features, rois, grad = (
        torch.from_numpy(array.astype(np.float32))
        for array in (rng.randn(2, 2, height, width), rois, rng.randn(number, 2, *bins))
    )
    sampling_ratio, aligned = (0, 2, 1)[seed // 3 % 3], bool(seed // 2 % 2)
    return features, rois, (bins, scale, sampling_ratio, 'avg', aligned), grad


def align(roi_align, seed):
    """What mmcv's `roi_align` returns for a case, and the gradient of the map."""
    features, rois, arguments, grad = align_case(seed)
    features.requires_grad_()
    output = roi_align(features, rois, *arguments)
    output.backward(grad)
    return output.detach(), features.grad


def extract():
    """What mmdet takes from P2 to P5 for boxes and masks, and the gradients of the maps."""
    from mmdet.models.roi_heads import SingleRoIExtractor

    rng = np.random.RandomState(0)
    maps = [
        torch.from_numpy(
            rng.randn(2, 4, 64 >> level, 80 >> level).astype(np.float32)
        ).requires_grad_()
        for level in range(4)
    ]
    corners = boxes_in(rng, 24, 1, 'anywhere')
    corners = torch.cat((corners[:, :2], corners[:, :2] + (corners[:, 2:] - corners[:, :2]) * 4), 1)
    boxes = corners.clamp(max=1) * torch.tensor([320.0, 256.0, 320.0, 256.0])
    rois = torch.cat((torch.arange(24)[:, None] % 2, boxes), 1)
    outputs = [
        SingleRoIExtractor(
            dict(type='RoIAlign', output_size=size, sampling_ratio=0),
            4,
            [4, 8, 16, 32],
            finest_scale=14,
        )(maps, rois)
        for size in (7, 14)
    ]
    sum(
        (output * torch.linspace(0, 1, output.numel()).view_as(output)).sum() for output in outputs
    ).backward()
    return [output.detach() for output in outputs] + [level.grad for level in maps]
