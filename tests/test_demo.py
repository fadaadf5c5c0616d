import sys

import pytest


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['{config}'], '{config} has no checkpoint: pass a checkpoint after each config'),
        (['{config}', 'a.pth', 'b.py'], 'b.py has no checkpoint'),
        (['{config}', 'none.pth'], r'The page needs gradio: pip install -e ".[demo]"'),
    ],
)
def test_errors_are_reported(args, message, tiny_config, call_tool, monkeypatch):
    monkeypatch.setitem(sys.modules, 'gradio', None)  # cannot be imported
    monkeypatch.delitem(sys.modules, 'twins_mm.demo.browser_page', raising=False)
    config = tiny_config('retinanet_twins_svt_s_1x')
    args, message = [arg.format(config=config) for arg in args], message.format(config=config)
    assert message in call_tool('demo', *args, status=1)
