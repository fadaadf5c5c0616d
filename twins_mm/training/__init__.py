"""Hooks for training runs; importing the package registers them."""
from . import hooks, seeding

__all__ = ['hooks', 'seeding']
