"""How accurate is a model, exported or not, on the validation set of its config?"""

import io
import logging
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout

import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from rich.console import Console
from rich.progress import track

from ..errors import UserError
from ..report.run import to_percent
from ..tasks import task_of
from .deployable import Deployable, DeployablePyramid

Infer = Callable[[torch.Tensor], tuple[torch.Tensor, ...]]
Predict = Callable[[dict], Sequence[BaseDataElement]]


def evaluate(cfg: Config, predict: Predict, name: str) -> dict[str, float]:
    """Metrics by the config's own `val_dataloader` and `val_evaluator`, in percent.

    Args:
        cfg: The config; its data is in place.
        predict: Takes a batch of one image from the data loader, and returns its data samples with
            predictions, as `test_step` of OpenMMLab's models does.
        name: The model's, for the progress bar.

    Returns:
        The metrics that the table of tasks has, by their usual names, e.g. 'box AP'; if the
        evaluator computes none of them, all that it computes.
    """
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.ERROR)  # else every class is printed
    try:
        with (
            DefaultScope.overwrite_default_scope(cfg.default_scope),
            redirect_stdout(io.StringIO()),
        ):
            loader = Runner.build_dataloader(dict(cfg.val_dataloader, batch_size=1))
            evaluator = Evaluator(cfg.val_evaluator)
            evaluator.dataset_meta = loader.dataset.metainfo
            for batch in track(
                loader, f'Evaluating {name}', console=Console(stderr=True), transient=True
            ):
                with torch.no_grad():
                    evaluator.process(predict(batch), batch)
            found = evaluator.evaluate(len(loader.dataset))
    finally:
        logger.setLevel(level)
    found = {key: float(value) for key, value in to_percent(found).items()}
    known = {title: found[key] for key, (title, _) in task_of(cfg).metrics.items() if key in found}
    return known or found


def check_evaluation(cfg: Config, deployable: Deployable) -> None:
    """Finds out whether `deployable` can be evaluated by this config.

    Raises:
        UserError: It predicts nothing, or the config says nothing about validation.
    """
    if isinstance(deployable, DeployablePyramid):
        raise UserError('Backbone and FPN alone predict nothing to evaluate')
    if not cfg.get('val_dataloader') or not cfg.get('val_evaluator'):
        raise UserError(f'To evaluate, {cfg.filename} needs val_dataloader and val_evaluator')


def predict_with(run: Infer, deployable: Deployable) -> Predict:
    """The `test_step` of what runs `deployable`, such as its exported file."""

    def predict(batch: dict) -> Sequence[BaseDataElement]:
        for image, sample in zip(batch['inputs'], batch['data_samples']):
            deployable.fill_sample(sample, [output[0] for output in run(image[None])])
        return batch['data_samples']

    return predict
