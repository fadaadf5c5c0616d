"""The weights that ImageNet classifiers have besides the backbone."""
import torch


def with_classifier(weights, width, num_classes=1000):
    """A backbone's weights, with a final norm and a head."""
    return dict(weights, **{
        'norm.weight': torch.rand(width), 'norm.bias': torch.rand(width),
        'head.weight': torch.rand(num_classes, width), 'head.bias': torch.rand(num_classes)})
