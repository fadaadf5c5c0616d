"""The networks: needs torch and mmengine alone."""
from .twins import TwinsPCPVT, TwinsSVT

__all__ = ['TwinsPCPVT', 'TwinsSVT']
