"""Predicts classes of images with mmpretrain; draws and writes the most likely ones."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.structures import BaseDataElement
from mmpretrain import ImageClassificationInferencer
from mmpretrain.structures import DataSample
from mmpretrain.visualization import UniversalVisualizer
from torch import nn

from ..atomic_write import replacing
from .frames import Frame
from .outputs import most_likely


class ClassVisualizer(UniversalVisualizer):
    """Writes the most likely classes onto the image, as other visualizers draw boxes."""

    def add_datasample(
        self, name: str, image: np.ndarray, sample: DataSample, draw_gt: bool = True
    ) -> None:
        """Draws a prediction on an RGB image; class names end at their first comma."""
        best = sample.clone().set_pred_label(most_likely(sample.pred_score))
        names = [name.partition(',')[0] for name in self.dataset_meta['classes']]
        self.visualize_cls(image, best, names, draw_gt, name=name)


class ClassifierInferencer(ImageClassificationInferencer):
    """mmpretrain's inferencer, built and called as mmdet's and mmseg's are."""

    def __init__(self, cfg: Config, checkpoint: str, scope: str):
        model = self._init_model(cfg, checkpoint, get_device())
        model._config = model.cfg
        super().__init__(model, classes=model.dataset_meta['classes'])
        settings = {key: value for key, value in cfg.visualizer.items() if key != 'type'}
        self.visualizer = ClassVisualizer(**settings)

    def _init_model(self, cfg: Config, weights: str, device: str) -> nn.Module:
        raise NotImplementedError  # in `predictor.build_inferencer`, as for mmengine's

    def __call__(
        self, images: Sequence[np.ndarray], batch_size: int = 1, return_datasamples: bool = True
    ) -> list[DataSample]:
        """Predicts BGR images, without a progress bar for each batch."""
        return [
            sample
            for batch in self.preprocess(images, batch_size)
            for sample in self.forward(batch)
        ]


class ClassFile:
    """For each image, the names and scores of the most likely classes, the best first."""

    def __init__(self, path: Path, dataset_meta: Mapping[str, Any]):
        self.path = path
        self._classes = dataset_meta['classes']

    def add(self, frame: Frame, sample: BaseDataElement) -> list[dict]:
        return list_most_likely(sample, self._classes)

    def finish(self, records: Iterable[tuple[dict, list[dict]]]) -> None:
        with replacing(self.path) as partial, partial.open('w') as file:
            file.write('{"images": [')
            for number, (image, classes) in enumerate(records):
                file.write(', ' if number else '')
                json.dump(dict(image, classes=classes), file)
            file.write(']}')


def list_most_likely(sample: BaseDataElement, classes: Sequence[str]) -> list[dict]:
    """Name, number and score, 0 to 1, of the most likely classes, the best first."""
    return [
        dict(name=classes[label], label=label, score=sample.pred_score[label].item())
        for label in most_likely(sample.pred_score)
    ]
