"""Where the time of a whole detector or segmentor goes."""

from collections.abc import Iterator
from itertools import cycle, pairwise
from statistics import median

import torch
from mmengine.config import Config, ConfigDict
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DATASETS

from ..checkpoints.load_model import load_model
from ..config import walk
from ..data.data_sets import DATA_SETS
from ..report.text_table import format_table
from ..toy.data import make_toy_data
from .timing import interleave, read_clock


def measure_parts(cfg: Config, rounds: int) -> dict[str, dict[str, float]]:
    """Seconds of each part of a step, 'inference' and 'training': the median of `rounds` steps.

    The images are those of the toy data, through the config's own pipelines, so of its own size;
    the batch is the config's for one process. Data loading is what one worker takes for a batch.
    """
    model = load_model(cfg, None, get_device())
    cfg = model.cfg
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    make_toy_data()
    toy_folders = {row.type: str(row.toy_folder) for row in DATA_SETS.values()}
    for dataset in walk([cfg.train_dataloader, cfg.test_dataloader]):
        if dataset.get('type') in toy_folders:
            dataset['data_root'] = toy_folders[dataset['type']]
    ends = []

    def end(part: str) -> None:
        ends.append((part, read_clock()))

    for name in ('data_preprocessor', 'backbone', 'neck'):
        if hasattr(model, name):
            part = name.removeprefix('data_')
            getattr(model, name).register_forward_hook(lambda *_, part=part: end(part))

    def infer(batch: dict) -> None:
        with torch.no_grad():
            model.test_step(batch)
        end('heads')

    def train(batch: dict) -> None:
        with optimizer.optim_context(model):
            losses = model(**model.data_preprocessor(batch, True), mode='loss')
            loss, _ = model.parse_losses(losses)
        end('heads and losses')
        optimizer.backward(loss)
        end('backward')
        optimizer.step()
        optimizer.zero_grad()
        end('optimizer')

    modes = dict(
        inference=(infer, _batches(cfg.test_dataloader)),
        training=(train, _batches(cfg.train_dataloader)),
    )

    def take_step(mode: str) -> dict[str, float]:
        step, batches = modes[mode]
        model.train(mode == 'training')
        ends.clear()
        end('')
        batch = next(batches)
        end('data loading')
        step(batch)
        return {part: stop - start for (_, start), (part, stop) in pairwise(ends)}

    # The first round warms up.
    timed = [steps[1:] for steps in interleave(take_step, list(modes), rounds + 1)]
    return {
        mode: {part: median(step[part] for step in steps) for part in steps[0]}
        for mode, steps in zip(modes, timed)
    }


def describe_parts(seconds: dict[str, dict[str, float]]) -> str:
    """Markdown, a table for each mode of what `measure_parts` returns."""
    lines = []
    for mode, parts in seconds.items():
        total = sum(parts.values())
        lines += [
            f'**{mode}**, {total * 1e3:.0f} ms',
            '',
            format_table(
                ['', 'ms', 'share'],
                [
                    [part, f'{time * 1e3:.0f}', f'{time / total:.0%}']
                    for part, time in parts.items()
                ],
            ),
            '',
        ]
    return '\n'.join(lines)


def _batches(loader: ConfigDict) -> Iterator[dict]:
    """Yields batches of a data loader's images, again from the first after the last."""
    dataset = DATASETS.build(loader.dataset)
    indices = cycle(range(len(dataset)))
    while True:
        yield pseudo_collate([dataset[next(indices)] for _ in range(loader.batch_size)])
