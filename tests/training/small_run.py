"""A data set and a model that train in a process in seconds; the tests' configs import it."""
import random
import time

import torch
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, MODELS
from mmengine.structures import BaseDataElement
from torch import nn

SIZE = 64


@DATASETS.register_module()
class NumberedImages:
    """Each image is its number and a random one, as augmentation is; that of `bad` is NaN."""

    def __init__(self, bad=None):
        self.bad = bad

    def __len__(self):
        return SIZE

    def __getitem__(self, index):
        value = float('nan') if index == self.bad else index / SIZE + random.random()
        return dict(inputs=torch.tensor([value]),
                    data_samples=BaseDataElement(metainfo=dict(img_path=f'image_{index}.jpg')))


@MODELS.register_module()
class SlowModel(BaseModel):
    """Its loss depends on weights, images and random numbers; `seconds` is how long a step takes.

    With `ballast`, its checkpoints don't fit into the buffer of a pipe.
    """

    def __init__(self, seconds=0.):
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.register_buffer('ballast', torch.zeros(100_000))
        self.seconds = seconds

    def forward(self, inputs, data_samples, mode):
        time.sleep(self.seconds)
        error = self.layer(torch.stack(inputs)) - torch.rand(len(inputs), 1)
        return dict(loss=error.square().mean())
