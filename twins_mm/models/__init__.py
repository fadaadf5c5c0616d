"""The networks, which need torch and mmengine only."""
from .twins import TwinsPCPVT, TwinsSVT

__all__ = ['TwinsPCPVT', 'TwinsSVT']
