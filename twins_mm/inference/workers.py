"""Draws and writes predictions in other processes, beside the network.

In threads it would stop the network: matplotlib keeps Python's lock.
"""

import multiprocessing
import os
import signal
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from threading import Thread
from typing import NamedTuple

import cv2
import numpy as np
import torch
from mmengine.structures import BaseDataElement

from ..tasks.base import Output, Task
from .drawing import draw
from .frames import Frame
from .packing import pack, unpack
from .pictures import write_image
from .predictor import confident_regions
from .prefetch import prefetch_map
from .progress import to_line

_jobs: list['Job'] = []  # a worker's own


class Job(NamedTuple):
    """What is done with each prediction.

    Attributes:
        task: The model's.
        output: Where it is written.
        dataset_meta: The model's.
        draws: Whether there are pictures.
        score_thr: Boxes and masks that are drawn have a higher score.
        pictures: The folder for pictures; None to return them.
    """

    task: Task
    output: Output
    dataset_meta: dict
    draws: bool
    score_thr: float
    pictures: Path | None


def write_in_background(
    job: Job, pairs: Iterable[tuple[Frame, BaseDataElement]], workers: int
) -> Iterator[tuple[str, np.ndarray | None]]:
    """Writes frames and their predictions while `pairs` predicts the next.

    Yields, in order, when all files of a frame are written, the line of `progress.to_line` and
    the picture, if it is returned.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # a forked process would wait for threads of OpenCV that it hasn't
    with ProcessPoolExecutor(
        workers, multiprocessing.get_context('fork'), _start, (job,)
    ) as executor:
        executor.submit(os.getpid).result()  # start them before the threads that read images
        cv2.setNumThreads(threads)
        packed = ((frame, pack(sample)) for frame, sample in pairs)
        yield from prefetch_map(executor, _write, packed, ahead=workers)


def _start(job: Job) -> None:
    """Prepares a worker, which is a process of its own in every respect."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process decides
    Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)  # in a forked process, more would wait for threads that it hasn't
    _jobs.append(job)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _write(pair: tuple[Frame, BaseDataElement]) -> tuple[str, np.ndarray | None]:
    job, (frame, packed) = _jobs[0], pair
    sample = unpack(packed, frame.entry['width'])
    picture = None
    if job.draws:
        regions = confident_regions(job.task, sample, job.score_thr)
        meta = job.dataset_meta
        picture = draw(frame.image, regions, meta['classes'], meta['palette'])
        if job.pictures is not None:
            write_image(job.pictures / frame.named('.jpg'), picture)
            picture = None
    annotations = job.output.add(frame.named(''), sample)
    return to_line(frame.entry, annotations), picture
