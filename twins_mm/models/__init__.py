"""The networks, which need torch and mmengine only, and mmdet's and mmseg's that are changed."""

from typing import Any

from mmengine.registry import MODELS
from torch import nn

from .necks import NormedAveragePooling, ProjectedAveragePooling

# isort: split
# Families are listed in the order of import.
from .twins import TwinsPCPVT, TwinsSVT

# isort: split
from .stvit import STViT

__all__ = ['NormedAveragePooling', 'ProjectedAveragePooling', 'STViT', 'TwinsPCPVT', 'TwinsSVT']


@MODELS.register_module('SwinCPVT')
def build_swin_cpvt(**kwargs: Any) -> nn.Module:
    """Builds `swin_cpvt.SwinCPVT`, so that mmdet is imported only then."""
    from .swin_cpvt import SwinCPVT

    return SwinCPVT(**kwargs)


@MODELS.register_module('DeepStemResNet')
def build_deep_stem_resnet(**kwargs: Any) -> nn.Module:
    """Builds `deep_stem_resnet.DeepStemResNet`, so that mmseg is imported only then."""
    from .deep_stem_resnet import DeepStemResNet

    return DeepStemResNet(**kwargs)
