"""The weights that ImageNet classifiers have besides the backbone."""

import torch
from reference.stvit import textbook_stvit
from tiny_archs import TINY_ARCHS


def with_classifier(weights, width, num_classes=1000):
    """A backbone's weights, with a final norm and a head."""
    return dict(
        weights,
        **{
            'norm.weight': torch.rand(width),
            'norm.bias': torch.rand(width),
            'head.weight': torch.rand(num_classes, width),
            'head.bias': torch.rand(num_classes),
        },
    )


def stvit_file(constants=True):
    """STViT's weights as published: with its frozen kernels and its classifier."""
    backbone = textbook_stvit(TINY_ARCHS['STViT']).state_dict()
    weights = {name: value for name, value in backbone.items() if constants or 'fold' not in name}
    return {name: torch.rand(value.shape) for name, value in weights.items()} | {
        'proj.weight': torch.rand(16, 32, 1, 1),
        'proj.bias': torch.rand(16),
        **{f'norm.{name}': torch.rand(16) for name in ('weight', 'bias', 'running_mean')},
        'head.weight': torch.rand(10, 16),
        'head.bias': torch.rand(10),
    }
