"""A trained model, and what it makes of a photograph: all that the page shows."""

from collections import Counter
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import mmcv
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from mmengine.config import Config
from mmengine.structures import BaseDataElement
from torch import nn

from ..errors import UserError
from ..inference import attention_figure, drawing
from ..inference.attention import Stage, trace_attention
from ..inference.backbone_input import prepare_image, show_all_stages
from ..inference.frames import Frame
from ..inference.packing import pack, unpack
from ..inference.predictor import Predictor, confident_regions
from ..tasks.base import Region


class ShownRegion(NamedTuple):
    """An object, or a class of a label map.

    Attributes:
        name: Its class.
        color: Its class's colour: red, green, blue, 0 to 255.
        score: From 0 to 1, if predicted.
        box: Left, top, right, bottom in pixels, if predicted.
        share: Share of the image's pixels, if predicted.
    """

    name: str
    color: tuple[int, int, int]
    score: float | None
    box: tuple[float, ...] | None
    share: float | None


class ShownModel:
    """A model of a config and a checkpoint, on a GPU if there is one.

    Args:
        cfg: The config.
        checkpoint: A file, a URL, or hf://ORG/NAME.

    Raises:
        UserError: The checkpoint doesn't match the config.

    Attributes:
        backbone: Shows where it attends; None if it is of another family.
        traced: The view whose attention was drawn last, and what was traced for it.
    """

    def __init__(self, cfg: Config, checkpoint: str):
        self.cfg = cfg
        self.name = Path(cfg.filename).stem
        self.checkpoint = Path(checkpoint).name  # the folder is nobody's business
        self.predictor = Predictor(cfg, checkpoint)
        self.task, self.dataset_meta = self.predictor.task, self.predictor.dataset_meta
        self.traced: tuple[View, tuple[np.ndarray, list[Stage]]] | None = None
        self.backbone: nn.Module | None
        try:
            self.backbone = show_all_stages(self.predictor.model)
        except UserError:
            self.backbone = None

    def look_at(self, photograph: Frame) -> 'View':
        """Runs the network.

        Raises:
            RuntimeError: It fails on this photograph.
        """
        ((frame, sample),) = self.predictor.predict_frames([photograph])
        if sample is None:
            raise RuntimeError(frame.reason)
        return View(self, photograph, sample.cpu())


class View:
    """What a model makes of a photograph; a score leaves out objects that don't exceed it."""

    def __init__(self, model: ShownModel, photograph: Frame, sample: BaseDataElement):
        assert photograph.image is not None
        self.model, self.photograph, self._packed = model, photograph, pack(sample)
        self.height, self.width = photograph.image.shape[:2]

    @property
    def sample(self) -> BaseDataElement:
        """The prediction, which is kept small: many visitors may look at one each."""
        return unpack(deepcopy(self._packed), self.width)

    def draw(self, score_thr: float) -> np.ndarray:
        """The photograph with what was found, RGB."""
        regions = self._choose(score_thr)
        image = self.photograph.image
        return mmcv.bgr2rgb(
            drawing.draw(image, regions, self._meta['classes'], self._meta['palette'])
        )

    def find(self, score_thr: float) -> list[ShownRegion]:
        """What `draw` shows, the highest scores or the largest shares first."""
        return [
            ShownRegion(
                self._meta['classes'][one.label],
                tuple(self._meta['palette'][one.label]),
                one.score,
                None if one.box is None else tuple(one.box.tolist()),
                None if one.mask is None else float(one.mask.mean()),
            )
            for one in self._choose(score_thr)
        ]

    def describe(self, score_thr: float) -> str:
        """The same in words: '2 person, 1 car'."""
        counts = Counter(one.name for one in self.find(score_thr))
        return (
            ', '.join(
                f'{count} {name}' if self.model.task.has_scores else name
                for name, count in counts.items()
            )
            or 'nothing found'
        )

    @cached_property
    def file(self) -> Path:
        """The prediction as `tools/predict.py` writes it, whatever the scores."""
        self._folder = TemporaryDirectory()  # lives as long as the view
        task = self.model.task
        path = Path(self._folder.name, task.output)
        output = task.open_output(path, self._meta)
        added = output.add(self.photograph.named(''), self.sample)
        output.finish([(self.photograph.entry, added)])
        return path if path.is_file() else next(path.iterdir())

    def attend(self, x: float, y: float) -> np.ndarray:
        """Draws the pyramid and where a point attends, RGB; `x` and `y` go from 0 to 1."""
        point = np.clip(x, 0, 1 - 1 / self.width), np.clip(y, 0, 1 - 1 / self.height)
        image, stages = self._stages
        canvas = FigureCanvasAgg(attention_figure.draw_attention(image, stages, [point]))
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3]

    @property
    def _stages(self) -> tuple[np.ndarray, list[Stage]]:
        """As from `_trace`, which is kept for the photograph that was asked for last."""
        if self.model.traced is None or self.model.traced[0] is not self:
            self.model.traced = self, self._trace()
        return self.model.traced[1]

    def _trace(self) -> tuple[np.ndarray, list[Stage]]:
        """The backbone's input and stages, without the attentions that aren't drawn."""
        backbone = self.model.backbone
        assert backbone is not None
        inputs, resized = prepare_image(self.model.cfg, self.photograph.image)
        stages = [
            stage._replace(attentions=list(filter(None, map(stage.last, (True, False)))))
            for stage in trace_attention(backbone, inputs.to(next(backbone.parameters()).device))
        ]
        return mmcv.bgr2rgb(resized), stages

    @property
    def _meta(self) -> dict:
        return self.model.dataset_meta

    def _choose(self, score_thr: float) -> list[Region]:
        return confident_regions(self.model.task, self.sample, score_thr)
