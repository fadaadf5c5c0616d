"""Does an exported model compute what the model does? How fast is it? In onnxruntime, on a CPU."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import onnxruntime
import torch
from mmcv.transforms import TRANSFORMS
from mmengine.config import Config
from torch import nn
from torch.nn.modules.module import register_module_forward_hook

from ..config import find_step, pipeline_of
from ..errors import UserError
from ..files.images import read_image
from ..toy.scenes import draw_scene
from .deployable import Deployable
from .detectors import paste

# Windows of 7 fit all feature maps, or one side of them; and an odd size, which no stride divides.
SIZES = (224, 224), (224, 320), (333, 251)
BATCHES = 1, 2
# How far apart the same box may be on the two sides, in pixels, and its score; and how much of
# their union its masks must share.
SAME_BOX, SAME_SCORE, SAME_MASK = 0.5, 0.01, 0.9
# Rounding changes pixels and detections that are close to a threshold. In trained models, float32
# changed no detection, though one of 100 may differ, and up to 0.03% of the pixels. Up to 6% of the
# detections changed in float16 and 12% in int8, where AP lost nothing: beyond these limits, an
# evaluation has to tell.
LIMITS = dict(float32=0.01, float16=0.05, int8=0.05)
PHOTOGRAPH = 640, 480  # width and height of most of COCO's images


class Reference(NamedTuple):
    """Images, `(B, 3, H, W)`, and the outputs of OpenMMLab's own model."""

    images: torch.Tensor
    outputs: tuple[torch.Tensor, ...]


class OnnxModel:
    """A file in onnxruntime: takes and returns tensors."""

    def __init__(self, path: Path):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        self.session = onnxruntime.InferenceSession(
            path, options, providers=['CPUExecutionProvider']
        )

    def __call__(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(map(torch.from_numpy, self.session.run(None, {'image': images.numpy()})))


def read_images(path: str | None = None) -> list[np.ndarray]:
    """Two images, BGR: the one in a file and its mirror image, or drawn scenes as in the toy data.

    Raises:
        UserError: The file can't be read.
    """
    if path is None:
        return [
            cv2.resize(draw_scene(np.random.default_rng(seed), shapes=4)[0], PHOTOGRAPH)
            for seed in (1, 2)
        ]
    try:
        image = read_image(path)
    except UserError as error:
        raise UserError(f'{path} is not an image that can be read: {error}') from None
    return [image, image[:, ::-1]]


def stack(images: Sequence[np.ndarray], size: tuple[int, int]) -> torch.Tensor:
    """Images as a batch of this height and width, `(B, 3, H, W)`, uint8."""
    return torch.stack(
        [torch.from_numpy(cv2.resize(image, size[::-1])).permute(2, 0, 1) for image in images]
    ).contiguous()


def reference_outputs(
    model: nn.Module,
    deployable: Deployable,
    images: Sequence[np.ndarray],
    sizes: Iterable[tuple[int, int]],
) -> list[Reference]:
    """What OpenMMLab's own model computes at each size, for one image and for two.

    Raises:
        UserError: There is nothing to compare with: it computes NaN or infinity, or it detects
            nothing.
    """
    names = {module: name for name, module in model.named_modules()}

    def refuse_nan(module: nn.Module, _: tuple, output: object) -> None:
        """Class maps and lists of boxes would hide it."""
        if isinstance(output, torch.Tensor) and not output.isfinite().all():
            raise UserError(
                f'The model computes NaN or infinity, first in {names[module]}. '
                'Did its training diverge? Export an earlier checkpoint'
            )

    batches = [stack(images[:batch], size) for size in sizes for batch in BATCHES]
    with torch.no_grad(), register_module_forward_hook(refuse_nan):
        references = [Reference(batch, deployable.expected(model, batch)) for batch in batches]
    if 'boxes' in deployable.outputs:
        labels = list(deployable.outputs).index('labels')
        if all((one.outputs[labels] < 0).all() for one in references):
            test_cfg = 'model.test_cfg.rcnn' if 'rcnn' in model.test_cfg else 'model.test_cfg'
            raise UserError(
                'The model detects nothing in the images that the export is checked with. Pass one '
                'that shows objects of its classes: --image FILE. If the model is not trained, '
                f'pass --cfg-options {test_cfg}.score_thr=0'
            )
    return references


def check(
    references: Sequence[Reference], names: Sequence[str], exported: OnnxModel
) -> list[dict[str, float | int | str]]:
    """Compares an export with the model; `names` are those of its outputs.

    Returns a row for each reference: 'images', 'height x width', and the figures of `compare`.
    """
    return [
        {
            'images': len(images),
            'height x width': '{} x {}'.format(*images.shape[2:]),
            **compare(names, outputs, exported(images)),
        }
        for images, outputs in references
    ]


def is_within(row: dict[str, Any], limit: float) -> bool:
    """Whether no more differs in a row of `check` than rounding explains.

    One detection in place of another is always explained: where two boxes overlap by almost exactly
    the threshold of their suppression, the last bit decides, and a proposal has other detections.
    """
    return row['differing'] <= max(limit, 2 / max(row.get('detections', torch.inf), 1))


def compare(
    names: Sequence[str], expected: Sequence[torch.Tensor], actual: Sequence[torch.Tensor]
) -> dict[str, Any]:
    """How outputs of these names differ; `LIMITS` are for 'differing'.

    For class maps, it is the share of pixels; for detections, the share of those, on either side,
    that the other side lacks; for features, the largest difference relative to the largest value.
    """
    for name, one, other in zip(names, expected, actual):
        if one.shape != other.shape and name != 'masks':
            return {'differing': 1.0, f'shape of {name}': str(tuple(other.shape))}
    if names == ['labels']:
        return dict(
            differing=(expected[0] != actual[0]).double().mean().item(),
            classes=len(expected[0].unique()),
        )
    if 'boxes' in names:
        return compare_detections(
            *([dict(zip(names, image)) for image in zip(*side)] for side in (expected, actual))
        )
    differing = torch.stack(
        [(one - other).abs().max() / one.abs().max() for one, other in zip(expected, actual)]
    )
    return dict(differing=differing.nan_to_num(nan=torch.inf).max().item())


def compare_detections(expected: Sequence[dict], actual: Sequence[dict]) -> dict[str, float | int]:
    """Compares boxes, scores, labels and masks of images; their order does not matter.

    The masks of the first are pasted, `(K, H, W)`, those of the second are as the file has them.
    """
    count = lacking = farthest = 0
    for one, other in zip(expected, actual):
        one, other = (
            {name: value[side['labels'] >= 0] for name, value in side.items()}
            for side in (one, other)
        )
        far = (one['boxes'][:, None] - other['boxes']).abs().amax(-1)
        same = (
            (one['labels'][:, None] == other['labels'])
            & (far < SAME_BOX)
            & ((one['scores'][:, None] - other['scores']).abs() < SAME_SCORE)
        )
        if 'masks' in one:
            masks = paste(other['masks'], other['boxes'], one['masks'].shape[1:])
            for pair in same.nonzero().tolist():
                mask, pasted = one['masks'][pair[0]], masks[pair[1]]
                same[tuple(pair)] = (mask & pasted).sum() >= SAME_MASK * (mask | pasted).sum()
        count += sum(same.shape)
        lacking += sum((~same.any(side)).sum().item() for side in (0, 1))
        if same.any():
            nearest = far.where(same, torch.inf).amin(1)
            farthest = max(farthest, nearest[nearest.isfinite()].max().item())
    return {'differing': lacking / max(count, 1), 'detections': count, 'farthest box, px': farthest}


def find_test_size(cfg: Config, image: np.ndarray) -> tuple[int, int]:
    """Height and width of an image after the config's test pipeline resized and cropped it."""
    pipeline = pipeline_of(cfg, 'test')
    for step in filter(None, (find_step(pipeline, kind) for kind in ('Resize', 'Crop'))):
        image = TRANSFORMS.build(step)(dict(img=image))['img']
    return image.shape[:2]
