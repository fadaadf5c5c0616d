"""The networks, which need torch and mmengine only."""
from .pooling import NormedAveragePooling, ProjectedAveragePooling
from .stvit import STViT
from .twins import TwinsPCPVT, TwinsSVT

__all__ = ['NormedAveragePooling', 'ProjectedAveragePooling', 'STViT', 'TwinsPCPVT', 'TwinsSVT']
