"""mmdet's and mmseg's inferencers, made one: frames in, predictions and drawn pictures out."""
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, islice, repeat

import mmcv
import numpy as np
from mmdet.visualization import get_palette
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.infer import BaseInferencer
from mmengine.registry import DATASETS
from mmengine.structures import BaseDataElement
from torch import nn

from ..checkpoints.files import weights_of
from ..config import count_classes, data_sets
from ..errors import UserError
from ..training.hooks import check_heads
from .frames import Frame


def build_inferencer(cfg: Config, checkpoint: str) -> BaseInferencer:
    """mmdet's or mmseg's inferencer, on a GPU if there is one.

    Other than theirs, it takes no checkpoint that doesn't fit the model. The names and colours of
    classes that were not saved with it are those of the config, not COCO's or Cityscapes'.

    Raises:
        UserError: The config is of neither library, or the checkpoint is not one of it.
    """
    scope = cfg.get('default_scope')
    if scope == 'mmdet':
        from mmdet.apis import DetInferencer as Inferencer
    elif scope == 'mmseg':
        from mmseg.apis import MMSegInferencer as Inferencer
        cfg.visualizer.setdefault('alpha', 0.5)  # else the image is hardly seen
    else:
        raise UserError(f'Predictions are made by detectors (default_scope = "mmdet") and '
                        f'segmentors ("mmseg"); this config has default_scope = {scope!r}')

    class CheckedInferencer(Inferencer):

        def _init_collate(self, cfg: Config) -> Callable:
            # What theirs returns too, after a warning that it found no registry to look in.
            return pseudo_collate

        def _load_weights_to_model(self, model: nn.Module, checkpoint: dict, cfg: Config) -> None:
            check_heads(checkpoint, model)
            dataset_meta = find_dataset_meta(checkpoint, cfg)
            super()._load_weights_to_model(model, dict(
                state_dict=weights_of(checkpoint), meta=dict(dataset_meta=dataset_meta)), cfg)
            model.dataset_meta = dataset_meta

    cfg.visualizer.pop('vis_backends', None)  # nothing is to be logged
    inferencer = CheckedInferencer(cfg, checkpoint, scope=scope)
    inferencer.visualizer.dataset_meta = inferencer.model.dataset_meta
    inferencer.show_progress = False
    return inferencer


def predict(inferencer: BaseInferencer, frames: Iterable[Frame], batch_size: int = 1
            ) -> Iterator[tuple[Frame, BaseDataElement | None]]:
    """Each frame with what is predicted for it, or with None if it could not be read.

    A batch is of consecutive frames of one size: segmentors take no others, and detectors would
    pad them.
    """
    for shape, same in groupby(frames, lambda frame: np.shape(frame.image)):
        if not shape:
            yield from zip(same, repeat(None))
        while batch := list(islice(same, batch_size)):
            results = inferencer([frame.image for frame in batch], batch_size=len(batch),
                                 return_datasamples=True)
            if isinstance(results, dict):  # mmdet's
                results = results['predictions']
            elif len(batch) == 1:  # mmseg's leaves out the list around one
                results = [results]
            yield from zip(batch, results)


def draw(inferencer: BaseInferencer, frame: Frame, sample: BaseDataElement,
         score_thr: float) -> np.ndarray:
    """A frame with its prediction, BGR; of boxes and masks those with a higher score."""
    limit = dict(pred_score_thr=score_thr) if 'pred_instances' in sample else {}
    inferencer.visualizer.add_datasample(
        str(frame.name), mmcv.bgr2rgb(frame.image), sample, draw_gt=False, **limit)
    return mmcv.rgb2bgr(inferencer.visualizer.get_image())


def find_dataset_meta(checkpoint: dict, cfg: Config) -> dict:
    """Class names, colours and more: the checkpoint's or, where it has none, the config's.

    Raises:
        UserError: Neither has as many names as the model has classes.
    """
    meta = checkpoint.get('meta') or {}
    saved = {key.lower(): value for key, value in meta.get('dataset_meta', meta).items()
             if value is not None}
    loader = cfg.get('test_dataloader')
    configured = DATASETS.build(
        dict(next(data_sets(loader)), lazy_init=True)).metainfo if loader else {}
    count = count_classes(cfg)
    named = [source for source in (saved, configured) if source.get('classes')
             and count in (None, len(source['classes']))]
    if not named:
        raise UserError(
            f'The model has {count or "some"} classes, but neither the checkpoint nor '
            'the data set of the config names so many: set test_dataloader.dataset.metainfo')
    found = {**configured, **named[0]}
    number = len(found['classes'])
    if len(found.get('palette') or ()) < number:
        found['palette'] = get_palette('random', number)
    return found
