"""What these tests import only their second session finds: see CONTRIBUTING.md."""
from importlib.util import find_spec

import pytest


@pytest.fixture(autouse=True, scope='session')
def peers():
    """Skips where they are missing; where they are broken, the tests fail."""
    for name in ('timm', 'mmpretrain'):
        if not find_spec(name):
            pytest.skip(f'{name} is not installed: `make test` gives it to these tests')
