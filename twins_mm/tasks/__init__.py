"""The tasks: what depends on whether a model detects, segments or classifies."""

import importlib

from mmengine.config import Config

from ..errors import UserError
from .base import Task
from .classification import Classification
from .detection import Detection
from .instance_segmentation import InstanceSegmentation
from .semantic_segmentation import SemanticSegmentation

TASKS: dict[str, Task] = {
    task.name: task
    for task in (Detection(), InstanceSegmentation(), SemanticSegmentation(), Classification())
}


def task_of(cfg: Config) -> Task:
    """The task of a config.

    Raises:
        UserError: The config belongs to no known task.
    """
    found = [task for task in TASKS.values() if task.is_of(cfg)]
    if not found:
        known = {f'{task.models} (default_scope = "{task.scope}")': None for task in TASKS.values()}
        raise UserError(
            f'twins_mm knows {" and ".join(known)}; this config has default_scope = '
            f'{cfg.get("default_scope")!r}'
        )
    return found[-1]


def require_library(cfg: Config) -> None:
    """Imports the library of a config's models, if it is an extra.

    Raises:
        UserError: It can't be imported.
    """
    for task in TASKS.values():
        if task.install and task.is_of(cfg):
            try:
                # Not all of a library is imported with it, such as what needs torchvision.
                importlib.import_module(f'{task.scope}.datasets')
            except Exception as error:  # a torchvision that doesn't fit torch may raise anything
                raise UserError(
                    f'{task.models.capitalize()} need {task.scope}, which cannot be '
                    f'imported: {error}. To install it: {task.install}'
                ) from error
