"""Where the time of a whole detector or segmentor goes."""
import time
from collections import defaultdict
from statistics import median

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DATASETS, MODELS, init_default_scope

from ..config import drop_pretrained, walk
from ..toy.toy_data import make_toy_data

TOY_FOLDERS = dict(CocoDataset='coco', ADE20KDataset='ADEChallengeData2016')


class Stopwatch:
    """The time from lap to lap, by what it was spent on."""

    def __init__(self):
        self.start()

    def start(self) -> None:
        self.laps = {}
        self._last = self._now()

    def lap(self, part: str) -> None:
        now = self._now()
        self.laps[part] = now - self._last
        self._last = now

    @staticmethod
    def _now() -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter()


def measure_shares(cfg: Config, rounds: int) -> dict[str, dict[str, float]]:
    """Seconds of each part of a step, 'inference' and 'training': the median of `rounds` steps.

    The images are toy data's, through the config's own pipelines, so of its own size; the batch is
    the config's for one process. Data loading is what one worker takes for a batch.
    """
    toy_data = make_toy_data()
    for dataset in walk([cfg.train_dataloader, cfg.test_dataloader]):
        if dataset.get('type') in TOY_FOLDERS:
            dataset['data_root'] = str(toy_data / TOY_FOLDERS[dataset['type']])
    drop_pretrained(cfg)
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model).to(get_device())
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    watch = Stopwatch()
    for part, name in (('preprocessor', 'data_preprocessor'), ('backbone', 'backbone'),
                       ('neck', 'neck')):
        if hasattr(model, name):
            getattr(model, name).register_forward_hook(
                lambda *_, part=part: watch.lap(part))

    def infer(batch: dict) -> None:
        with torch.no_grad():
            model.test_step(batch)
        watch.lap('heads')

    def train(batch: dict) -> None:
        with optimizer.optim_context(model):
            losses = model(**model.data_preprocessor(batch, True), mode='loss')
            loss, _ = model.parse_losses(losses)
        watch.lap('heads and losses')
        optimizer.backward(loss)
        watch.lap('backward')
        optimizer.step()
        optimizer.zero_grad()
        watch.lap('optimizer')

    seconds = {}
    for mode, step, loader in (('inference', infer, cfg.test_dataloader),
                               ('training', train, cfg.train_dataloader)):
        model.train(mode == 'training')
        dataset = DATASETS.build(loader.dataset)
        times = defaultdict(list)
        for turn in range(rounds + 1):
            watch.start()
            first = turn * loader.batch_size
            batch = pseudo_collate([dataset[index % len(dataset)] for index in range(
                first, first + loader.batch_size)])
            watch.lap('data loading')
            step(batch)
            # The first turn warms up.
            for part, lap in watch.laps.items() if turn else ():
                times[part].append(lap)
        seconds[mode] = {part: median(laps) for part, laps in times.items()}
    return seconds
