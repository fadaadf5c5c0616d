"""What keeps training runs right; importing the package registers it with mmengine."""
from . import hooks, seeding, whole_files

__all__ = ['hooks', 'seeding', 'whole_files']
