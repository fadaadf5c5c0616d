"""Is an exported model the model? How fast is it? By onnxruntime, on a CPU."""
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import mmcv
import numpy as np
import onnxruntime
import torch
from mmengine.config import Config
from torch import nn

from ..config import walk
from ..data.shapes import draw_scene
from ..errors import UserError
from .deployable import Deployable

# All windows of 7 fit their maps; those of one side do; an odd size, which no stride divides.
SIZES = (224, 224), (224, 320), (333, 251)
BATCHES = 1, 2
# How far a box may be from the one that it is, in pixels, and its score.
SAME_BOX, SAME_SCORE = 0.5, 0.01
# What may differ by rounding: a detection on a threshold, in float32; more with less precision.
LIMITS = dict(float32=0.01, float16=0.05, int8=0.5)
PHOTOGRAPH = 640, 480
ROUNDS = 5


class OnnxModel:
    """A file in onnxruntime: takes and returns tensors."""

    def __init__(self, path: Path):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        self.session = onnxruntime.InferenceSession(
            path, options, providers=['CPUExecutionProvider'])

    def __call__(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(map(torch.from_numpy, self.session.run(None, {'image': images.numpy()})))


def read_images(path: str | None = None) -> list[np.ndarray]:
    """Two images, BGR: one from a file and its mirror image, or scenes of the toy data's kind.

    Raises:
        UserError: The file can't be read.
    """
    if path is None:
        return [draw_scene(np.random.default_rng(seed), shapes=4)[0] for seed in BATCHES]
    image = cv2.imread(path)
    if image is None:
        raise UserError(f'{path} is no image that can be read')
    return [image, image[:, ::-1]]


def stack(images: Sequence[np.ndarray], size: tuple[int, int]) -> torch.Tensor:
    """Images as a batch of this height and width, `(B, 3, H, W)`, uint8."""
    return torch.stack([torch.from_numpy(cv2.resize(image, size[::-1])).permute(2, 0, 1)
                        for image in images]).contiguous()


def check(model: nn.Module, deployable: Deployable, exported: OnnxModel,
          images: Sequence[np.ndarray]) -> list[dict[str, float | int | str]]:
    """Compares a model with its export at three sizes, one and two images at a time.

    Returns a row for each: 'images', 'height x width', and the figures of `compare`.
    """
    rows = []
    for size in SIZES:
        for batch in BATCHES:
            inputs = stack(images[:batch], size)
            with torch.no_grad():
                expected = deployable.expected(model, inputs)
            rows.append({'images': batch, 'height x width': '{} x {}'.format(*size),
                         **compare(list(deployable.outputs), expected, exported(inputs))})
    return rows


def compare(outputs: Sequence[str], expected: Sequence[torch.Tensor],
            actual: Sequence[torch.Tensor]) -> dict[str, Any]:
    """How outputs of these names differ; 'differing' is what `LIMITS` are for.

    Of class maps, it is the share of pixels; of detections, the share of those, of either side,
    that the other lacks; of features, the largest difference relative to the largest value.
    """
    for name, one, other in zip(outputs, expected, actual):
        if one.shape != other.shape:
            return {'differing': 1., f'shape of {name}': str(tuple(other.shape))}
    if outputs == ['labels']:
        return dict(differing=(expected[0] != actual[0]).double().mean().item(),
                    classes=len(expected[0].unique()))
    if 'boxes' in outputs:
        return compare_detections(*(
            [dict(zip(outputs, image)) for image in zip(*side)] for side in (expected, actual)))
    return dict(differing=max(((one - other).abs().max() / one.abs().max()).item()
                              for one, other in zip(expected, actual)))


def compare_detections(expected: Sequence[dict], actual: Sequence[dict]
                       ) -> dict[str, float | int]:
    """Compares boxes, scores and labels of images, in whatever order they are."""
    count = lacking = farthest = 0
    for one, other in zip(expected, actual):
        one, other = ({name: value[side['labels'] >= 0] for name, value in side.items()}
                      for side in (one, other))
        far = (one['boxes'][:, None] - other['boxes']).abs().amax(-1)
        same = ((one['labels'][:, None] == other['labels']) & (far < SAME_BOX)
                & ((one['scores'][:, None] - other['scores']).abs() < SAME_SCORE))
        count += sum(same.shape)
        lacking += sum((~same.any(side)).sum().item() for side in (0, 1))
        if same.any():
            nearest = far.where(same, torch.inf).amin(1)
            farthest = max(farthest, nearest[nearest.isfinite()].max().item())
    return {'differing': lacking / max(count, 1), 'detections': count,
            'farthest box, px': farthest}


def find_test_size(cfg: Config) -> tuple[int, int]:
    """Height and width of a photograph of 640 x 480 pixels as the config's test pipeline has it."""
    scales = [step['scale'] for step in walk(cfg.test_dataloader)
              if step.get('type') == 'Resize' and 'scale' in step]
    if not scales:
        return PHOTOGRAPH[::-1]
    return mmcv.rescale_size(PHOTOGRAPH, tuple(scales[0]))[::-1]


def time_side_by_side(steps: Sequence[Callable[[], object]]) -> list[float]:
    """Median seconds of each step; they take turns, after one that warms up."""
    seconds = [[] for _ in steps]
    for _ in range(ROUNDS + 1):
        for step, times in zip(steps, seconds):
            start = time.perf_counter()
            step()
            times.append(time.perf_counter() - start)
    return [median(times[1:]) for times in seconds]
