"""What keeps training runs right; importing the package registers it with mmengine."""
from . import finiteness, hooks, preemption, resuming, seeding, whole_files

__all__ = ['finiteness', 'hooks', 'preemption', 'resuming', 'seeding', 'whole_files']
