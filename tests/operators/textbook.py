"""mmcv's operators as their papers describe them, slowly."""

import math

import numpy as np
import torch
from torch.nn import functional as F


def nms(boxes, scores, threshold, offset):
    """Greedy, a box at a time, in the boxes' precision; the threshold is in numpy's."""
    boxes, offset = boxes.numpy(), boxes.numpy().dtype.type(offset)
    kept = []
    for index in np.argsort(-scores.numpy(), kind='stable'):
        box = boxes[index]
        for other in boxes[kept]:
            width, height = np.maximum(
                0, np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2]) + offset
            )
            area, other_area = (
                (each[2] - each[0] + offset) * (each[3] - each[1] + offset) for each in (box, other)
            )
            shared = width * height
            with np.errstate(invalid='ignore'):
                if shared / (area + other_area - shared) > threshold:
                    break
        else:
            kept.append(index)
    return torch.tensor(np.array(kept, int))


def roi_align(features, rois, bins, scale, sampling_ratio, mode, aligned):
    """Samples by torch's `grid_sample`, in float64, a RoI at a time."""
    assert mode == 'avg'
    size = features.shape[2:]
    pooled = []
    for image, *box in rois.double().tolist():
        x1, y1, x2, y2 = (side * scale - 0.5 * aligned for side in box)
        positions, counts = [], []
        for start, end, number in ((y1, y2, bins[0]), (x1, x2, bins[1])):
            length = end - start if aligned else max(end - start, 1)
            counts.append(sampling_ratio or math.ceil(length / number))
            steps = torch.arange(number * counts[-1], dtype=torch.float64) + 0.5
            positions.append(start + steps * length / number / max(counts[-1], 1))
        inside = [(place >= -1) & (place <= side) for place, side in zip(positions, size)]
        y, x = (2 * place / max(side - 1, 1) - 1 for place, side in zip(positions, size))
        grid = torch.stack((x.expand(len(y), -1), y[:, None].expand(-1, len(x))), -1)
        samples = F.grid_sample(
            features[int(image)].double()[None],
            grid[None],
            padding_mode='border',
            align_corners=True,
        )[0]
        samples = samples * inside[0][:, None] * inside[1]
        if not min(counts):
            pooled.append(samples.new_zeros(len(samples), *bins))
        else:
            pooled.append(F.avg_pool2d(samples, counts))
    if not pooled:
        return features.sum() * 0 + features.new_zeros(0, features.shape[1], *bins)
    return torch.stack(pooled).to(features.dtype)
