import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import PurePath

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample

from twins_mm.inference.frames import Frame
from twins_mm.inference.progress import Progress
from twins_mm.inference.workers import Job, write_in_background
from twins_mm.tasks import TASKS

META = dict(classes=('ball', 'tent'), palette=[(0, 0, 0), (200, 200, 200)], reduce_zero_label=True)


def make_job(task, path, draws=True, pictures=None):
    return Job(TASKS[task], TASKS[task].open_output(path, META), META, draws, 0.3, pictures)


def frames(count):
    for number in range(count):
        yield Frame(PurePath(f'{number:04}.png'), np.zeros((20, 30, 3), np.uint8))


def detection(frame, boxes=3):
    number = int(frame.name.stem)
    torch.manual_seed(number)
    masks = torch.rand(boxes, 20, 30) > 0.5
    return DetDataSample(
        pred_instances=InstanceData(
            labels=torch.arange(boxes) % 2,
            scores=torch.rand(boxes),
            bboxes=torch.rand(boxes, 4),
            masks=masks,
        ),
        metainfo=dict(ori_shape=(20, 30)),
    )


def segmentation(frame):
    labels = torch.full((1, 20, 30), int(frame.name.stem) % 2)
    return SegDataSample(
        pred_sem_seg=PixelData(data=labels), seg_logits=PixelData(data=torch.rand(2, 20, 30))
    )


def test_pictures_and_annotations_of_detectors(tmp_path):
    job = make_job(
        'instance_segmentation', tmp_path / 'predictions.json', pictures=tmp_path / 'pictures'
    )
    pairs = [(frame, detection(frame)) for frame in frames(5)]
    results = list(write_in_background(job, iter(pairs), 2))
    assert [picture for _, picture in results] == [None] * 5
    for (frame, sample), (line, _) in zip(pairs, results):
        image, annotations = map(json.loads, line.split('\t'))
        assert image == dict(file_name=frame.name.name, height=20, width=30)
        assert annotations == json.loads(json.dumps(job.output.add(frame.name, sample)))
    assert len(list((tmp_path / 'pictures').glob('*.jpg'))) == 5


def test_labels_of_segmentors_and_pictures_of_a_video(tmp_path):
    job = make_job('semantic_segmentation', tmp_path / 'labels')
    results = list(
        write_in_background(job, ((frame, segmentation(frame)) for frame in frames(4)), 2)
    )
    assert [picture.max() for _, picture in results] == [0, 100, 0, 100]
    assert len(list((tmp_path / 'labels').iterdir())) == 4


def test_memory_does_not_grow_with_the_images(tmp_path):
    """The annotations of an image with 100 boxes take 100 kB in memory."""

    def peak(count):
        progress = Progress(tmp_path / f'{count}', {})
        job = make_job('detection', tmp_path / f'{count}.json', draws=False)
        pairs = ((frame, detection(frame, 100)) for frame in frames(count))
        tracemalloc.start()
        for line, _ in write_in_background(job, pairs, 1):
            progress.add(line)
        job.output.finish(progress.records())
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(json.loads((tmp_path / f'{count}.json').read_text())['annotations']) == (
            100 * count
        )
        return most

    few, many = peak(10), peak(60)
    assert (many - few) / 50 < 2000


@pytest.mark.parametrize('ending', [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_their_parent(ending, tmp_path):
    code = f"""
import os, sys
sys.path.insert(0, {str(os.path.dirname(__file__))!r})
from test_workers import *
from multiprocessing import active_children
def pairs():
    print(*(child.pid for child in active_children()), flush=True)
    os.kill(os.getpid(), {int(ending)})
    yield
list(write_in_background(make_job('semantic_segmentation', '.', draws=False), pairs(), 2))
"""
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=tmp_path, text=True, stdout=subprocess.PIPE
    )
    assert done.returncode == -ending
    workers = done.stdout.split()
    assert len(workers) == 2
    for _ in range(100):
        if not any(os.path.exists(f'/proc/{pid}') for pid in workers):
            break
        time.sleep(0.1)
    else:
        pytest.fail(f'{workers} are still there')
