"""Ways to run a trained model on this CPU: how fast each is, and what it loses in accuracy."""

import math
import tempfile
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import NamedTuple

import torch
from mmengine.config import Config
from torch import nn

from ..export.comparison import OnnxModel, find_test_size, read_images, stack
from ..export.deployable import Deployable
from ..export.evaluation import Infer, check_evaluation, evaluate, predict_with
from ..export.make_deployable import make_deployable
from ..export.onnx_file import export, quantize
from ..report.text_table import format_table
from .timing import time_side_by_side

ORIGINAL = 'PyTorch'
MOST_LOST = 0.5  # points, of each metric


class Backend(NamedTuple):
    """A backend: median seconds for an image, metrics in percent; or why it can't run."""

    name: str
    seconds: float = math.inf
    metrics: Mapping[str, float] = {}
    error: str = ''


def _compile(deployable: Deployable, folder: Path) -> Infer:
    # Freezing packs weights for oneDNN and folds norms.
    return _in_tuples(torch.compile(deployable, options=dict(freezing=True)))


def _in_bfloat16(deployable: Deployable, folder: Path) -> Infer:
    deployable.model.bfloat16()
    return _in_tuples(deployable)


def _in_tuples(module: nn.Module) -> Infer:
    """A module that returns several outputs or one, as a function that returns a tuple."""

    def run(images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        outputs = module(images)
        return outputs if isinstance(outputs, tuple) else (outputs,)

    return run


def _export(deployable: Deployable, folder: Path) -> Infer:
    export(deployable, list(deployable.outputs), folder / 'model.onnx')
    return OnnxModel(folder / 'model.onnx')


def _quantize(deployable: Deployable, folder: Path) -> Infer:
    quantize(folder / 'model.onnx')
    return OnnxModel(folder / 'model.onnx')


# Each gets a copy of its own, and the folder where the last two share a file.
BACKENDS: dict[str, Callable[[Deployable, Path], Infer]] = {
    'PyTorch, compiled': _compile,
    'PyTorch, bfloat16': _in_bfloat16,
    'onnxruntime': _export,
    'onnxruntime, int8': _quantize,
}


@torch.no_grad()
def compare_backends(
    cfg: Config, model: nn.Module, progress: Callable[[str], None] = lambda text: None
) -> list[Backend]:
    """Runs a model in each backend: on an image of the config's test size, and on its data.

    The first backend is the model itself. `progress` gets a line for each part.

    Raises:
        UserError: The model can't be exported whole, or not be evaluated.
    """
    deployable = make_deployable(model)
    check_evaluation(cfg, deployable)
    (image,) = read_images()[:1]
    inputs = stack([image], find_test_size(cfg, image))
    runs: dict[str, Infer] = {}
    backends: dict[str, Backend] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, build in BACKENDS.items():
            progress(f'{name}: preparing')
            try:
                runs[name] = build(deepcopy(deployable), Path(folder))
                runs[name](inputs)
            except Exception as error:  # it may raise anything; the others are still measured
                runs.pop(name, None)
                backends[name] = Backend(name, error=str(error).strip().partition('\n')[0])
    progress('measuring')
    seconds = time_side_by_side(
        [
            lambda: deployable.expected(model, inputs),
            *(lambda run=run: run(inputs) for run in runs.values()),
        ]
    )
    predictions = {
        ORIGINAL: model.test_step,
        **{name: predict_with(run, deployable) for name, run in runs.items()},
    }
    for (name, predict), time in zip(predictions.items(), seconds):
        progress(f'{name}: evaluating')
        backends[name] = Backend(name, time, evaluate(cfg, predict, name))
    return [backends[name] for name in (ORIGINAL, *BACKENDS)]


def best_of(backends: list[Backend]) -> Backend:
    """The fastest backend that loses at most `MOST_LOST` of each of the first backend's metrics."""
    wanted = backends[0].metrics
    return min(
        (
            backend
            for backend in backends
            if not backend.error
            and all(
                wanted[metric] - backend.metrics.get(metric, 0.0) <= MOST_LOST for metric in wanted
            )
        ),
        key=lambda backend: backend.seconds,
    )


def describe_backends(backends: list[Backend]) -> str:
    """A table for a terminal, and which backend to take."""
    first, best = backends[0], best_of(backends)
    rows = []
    for name, seconds, metrics, error in backends:
        rows.append(
            [name, error, *[''] * (1 + 2 * len(first.metrics))]
            if error
            else [
                name,
                f'{seconds * 1e3:.0f}',
                f'{first.seconds / seconds:.2f}',
                *(
                    text
                    for metric, value in first.metrics.items()
                    for text in (
                        f'{metrics.get(metric, 0.0):.2f}',
                        f'{value - metrics.get(metric, 0.0):.2f}',
                    )
                ),
            ]
        )
    head = [
        '',
        'ms',
        'times as fast',
        *(text for metric in first.metrics for text in (metric, f'{metric} lost')),
    ]
    return (
        f'{format_table(head, rows)}\n\nFastest with at most {MOST_LOST} points '
        f'lost: {best.name}, {first.seconds / best.seconds:.2f} times as fast'
    )
