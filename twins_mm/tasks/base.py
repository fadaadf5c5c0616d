"""What the tools ask of a task: the contract that each class of this subpackage fulfils."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path, PurePath
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
from mmengine.config import Config
from mmengine.dataset import BaseDataset, Compose
from mmengine.evaluator import BaseMetric
from mmengine.structures import BaseDataElement
from torch import nn

from .findings import Fault, ImageContents

# Boxes and masks are drawn and rated if their score is higher; as in mmdet's visualizer.
SCORE_THRESHOLD = 0.3


class Region(NamedTuple):
    """An object, a class of a label map, or a class of the whole image, which has no mask or box.

    Attributes:
        label: The number of its class.
        mask: `(H, W)`, bool.
        box: Left, top, right, bottom in pixels.
        score: From 0 to 1, if predicted.
    """

    label: int
    mask: np.ndarray | None = None
    box: np.ndarray | None = None
    score: float | None = None


class Output(Protocol):
    """The file or the folder that predictions of a task are written to, at `path`."""

    path: Path

    def add(self, name: PurePath, sample: BaseDataElement) -> list[dict]:
        """Writes an image's own file, `name` with a suffix, if each image has one.

        Returns what `finish` needs to know of the image; JSON can express it.
        """

    def finish(
        self, records: Iterable[tuple[dict, list[dict]]], score_thr: float = SCORE_THRESHOLD
    ) -> str:
        """Writes the file of all images, if there is one; returns what was found, in a sentence.

        Each record has an image's `file_name`, `height` and `width`, and what `add` returned.
        """


class SurveyedData(Protocol):
    """A data set while it is read and checked, as tasks see it."""

    name: str
    dataset: BaseDataset
    classes: tuple[str, ...]
    amounts: Counter

    def add(self, *findings: Fault) -> None:
        """Takes faults."""


class Task(ABC):
    """What models are trained for, and all that depends on it.

    A task is a subclass in a file of its own, and an entry in `TASKS`, after those that it is a
    special case of. Its libraries are imported
    by the methods that need them, because they take seconds or are extras.

    Attributes:
        name: As in `TASKS`.
        scope: The `default_scope` of its configs, and the name of its library.
        models: What its models are called.
        install: The command that installs the library, where it is an extra.

        own_data: The class that reads a user's own data, and its arguments where the user sets
            none.
        load: The pipeline steps that load ground truth, where the data set doesn't.
        pack: The last pipeline step.
        counted: What there is of a class: 'objects', 'pixels' or 'labels'.

        toy_data: The toy data that its models learn, unless the config is for another data set
            that has a toy version.
        toy_side: The longer side of toy images, in pixels.
        toy_batch: Images in a batch of toy training.
        toy_iterations: Its length.
        toy_evaluator: The metric.
        tta_ratios: Scales of test-time augmentation on toy data, relative to its own scale.

        metrics: For each metric's name in logs, its usual name and what it measures.
        fractions: How names of metrics begin that logs have as fractions of 1; others are percent.
        chance: Points by which metrics of two runs of a recipe may differ at one iteration.
        visualization: The hook that draws validation images, and what makes it draw.
        pictures_option: The config's key for the folder of a test's pictures.

        output: The name of the file or the folder of predictions.
        ground_truth: The field of a data sample that has it.
        prediction: The field of a data sample that has it.
        has_scores: Whether regions have scores, so that those below a threshold are left out.
        how_rated: How `rate` rates an image, in a sentence for readers of a report.
    """

    name: ClassVar[str]
    scope: ClassVar[str]
    models: ClassVar[str]
    install: ClassVar[str] = ''

    own_data: ClassVar[dict]
    load: ClassVar[list[dict]] = []
    pack: ClassVar[str]
    counted: ClassVar[str]

    toy_data: ClassVar[str]
    toy_side: ClassVar[int] = 128
    toy_batch: ClassVar[int]
    toy_iterations: ClassVar[int]
    toy_evaluator: ClassVar[dict]
    tta_ratios: ClassVar[tuple[float, ...]] = (1.0,)

    metrics: ClassVar[Mapping[str, tuple[str, str]]]
    fractions: ClassVar[tuple[str, ...]] = ()
    chance: ClassVar[float]
    visualization: ClassVar[dict]
    pictures_option: ClassVar[str]

    output: ClassVar[str]
    ground_truth: ClassVar[str]
    prediction: ClassVar[str]
    has_scores: ClassVar[bool] = False
    how_rated: ClassVar[str]

    def is_of(self, cfg: Config) -> bool:
        """Whether a config is for this task, or for a more special one that comes after it."""
        return cfg.get('default_scope') == self.scope

    def watch(self, survey: SurveyedData) -> AbstractContextManager:
        """Looks at what the data set leaves out while it reads its annotations in this context."""
        return nullcontext()

    @abstractmethod
    def check(self, info: dict, load: Compose, classes: int) -> ImageContents:
        """Looks at the annotations of an image.

        Args:
            info: What the data set says of it, with the image as it was loaded.
            load: The pipeline's steps that load annotations, as one.
            classes: How many classes there are.
        """

    @abstractmethod
    def judge(self, survey: SurveyedData) -> Iterator[Fault]:
        """Looks at all annotations of a data set together."""

    @property
    def dump_metric(self) -> type[BaseMetric] | None:
        """Keeps a test's predictions in a .pkl file; None where a config's metric writes labels."""
        return None

    def prepare(self, model: nn.Module) -> None:  # noqa: B027 (few tasks do anything)
        """Changes a model in place so that it predicts the same with less time and memory."""

    @abstractmethod
    def open_output(self, path: Path, dataset_meta: Mapping[str, Any]) -> Output:
        """Where predictions go; `dataset_meta` is the model's."""

    @abstractmethod
    def list_regions(self, annotation: Any) -> list[Region]:
        """The regions of a sample's ground truth or prediction, whatever their scores."""

    @abstractmethod
    def rate(self, sample: BaseDataElement) -> float | None:
        """Rates a sample with ground truth and prediction from 0 to 1; None leaves it out."""


def is_confident(score: Any, threshold: float = SCORE_THRESHOLD) -> Any:
    """Whether a score, or each of an array's, is high enough to be drawn and rated."""
    return score > threshold


def palette_of(dataset_meta: Mapping[str, Any]) -> Sequence[Sequence[int]]:
    """A data set's colours, red, green and blue; random ones if it has too few for its classes."""
    from mmdet.visualization import get_palette

    palette, count = dataset_meta.get('palette') or (), len(dataset_meta['classes'])
    return palette if len(palette) >= count else get_palette('random', count)


def count_of(number: int, noun: str) -> str:
    """'1 image', '2 images', '1,234 classes'."""
    plural = 'es' if noun.endswith('s') else 's'
    return f'{number:,} {noun}{plural * (number != 1)}'


def first_name(names: Sequence[str], label: int) -> str:
    """A class's name up to the first comma: ImageNet's have synonyms."""
    return names[label].partition(',')[0]
