"""A data set and a model that train in a process in seconds; the tests' configs import it.

The variable DISK makes the disk of the process fail: 'full iter_8.pth' when that file is written,
'stuck iter_8.pth' until the process is killed.
"""

import errno
import os
import random
import time

import torch
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, MODELS
from mmengine.structures import BaseDataElement
from torch import nn

SIZE = 64

_sync = os.fsync


def _fail(file):
    state, name = os.environ['DISK'].split()
    if os.readlink(f'/proc/self/fd/{file}').endswith(name):
        if state == 'full':
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        print('The disk is stuck', flush=True)
        time.sleep(1000)
    _sync(file)


if 'DISK' in os.environ:
    os.fsync = _fail


@DATASETS.register_module()
class NumberedImages:
    """Each image is its number and a random one, as augmentation is; that of `bad` is NaN."""

    def __init__(self, bad=None):
        self.bad = bad

    def __len__(self):
        return SIZE

    def __getitem__(self, index):
        value = float('nan') if index == self.bad else index / SIZE + random.random()
        return dict(
            inputs=torch.tensor([value]),
            data_samples=BaseDataElement(metainfo=dict(img_path=f'image_{index}.jpg')),
        )


@MODELS.register_module()
class SlowModel(BaseModel):
    """Its loss depends on weights, images and random numbers; a step takes `seconds`."""

    def __init__(self, seconds=0.0):
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.seconds = seconds

    def forward(self, inputs, data_samples, mode):
        time.sleep(self.seconds)
        error = self.layer(torch.stack(inputs)) - torch.rand(len(inputs), 1)
        return dict(loss=error.square().mean())
