"""What joins a training run: importing it registers the hooks."""
from . import hooks, seeding

__all__ = ['hooks', 'seeding']
