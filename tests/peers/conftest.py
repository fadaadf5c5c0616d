"""What these tests import only their second session finds."""

from importlib.util import find_spec

assert find_spec('timm') and find_spec('mmpretrain'), 'how to run these: see CONTRIBUTING.md'
