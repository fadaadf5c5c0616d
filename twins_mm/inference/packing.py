"""Keeps predictions small on their way to another process, or while a visitor looks at them."""

import numpy as np
from mmengine.structures import BaseDataElement, InstanceData, PixelData


def pack(sample: BaseDataElement) -> BaseDataElement:
    """A smaller sample without tensors, whose shared memory is short in a container.

    Masks take a bit a pixel, label maps two bytes.
    """
    sample = sample.numpy()
    for value in sample.values():
        if isinstance(value, InstanceData) and 'masks' in value:
            value.masks = np.packbits(value.masks, axis=-1)
        if isinstance(value, PixelData) and value.data.dtype.kind == 'i':
            value.data = value.data.astype(np.int16)
    return sample


def unpack(sample: BaseDataElement, width: int) -> BaseDataElement:
    """The sample, for an image of this width; what was packed is used up."""
    for value in sample.values():
        if isinstance(value, InstanceData) and 'masks' in value:
            value.masks = np.unpackbits(value.masks, axis=-1, count=width).view(bool)
    return sample.to_tensor()
