"""What keeps training runs right; importing the package registers it with mmengine."""
from . import hooks, preemption, resuming, seeding, whole_files

__all__ = ['hooks', 'preemption', 'resuming', 'seeding', 'whole_files']
