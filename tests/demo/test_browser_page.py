"""Parts of the page that need no browser, and not gradio either; see tests/web for the others."""

import runpy
import sys
from unittest.mock import MagicMock

import pytest

from twins_mm.demo.shown_model import ShownRegion


@pytest.fixture
def page(monkeypatch):
    """What the module of the page defines."""
    for name in ('gradio', 'starlette', 'starlette.middleware'):
        monkeypatch.setitem(sys.modules, name, MagicMock())
    return runpy.run_module('twins_mm.demo.browser_page')


def test_names_of_classes_keep_their_capitals(page):
    table = page['_PARTS'].table([ShownRegion('LED', (0, 0, 0), 0.5, None, None)], '2 LED')
    assert '<caption>2 LED</caption>' in table
