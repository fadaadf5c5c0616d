"""The networks, which need torch and mmengine only."""
from .pooling import NormedAveragePooling
from .twins import TwinsPCPVT, TwinsSVT

__all__ = ['NormedAveragePooling', 'TwinsPCPVT', 'TwinsSVT']
