import os
import re
import runpy
import sys
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
import tool_process

# What tools import first would take Ctrl+C from pytest.
sys.modules['_ctrl_c'] = ModuleType('_ctrl_c')
REPOSITORY = Path(__file__).parent.parent
# Two processes share the machine's cores; small models gain nothing from more threads.
THREADS = dict(OMP_NUM_THREADS='1')

TINY_CONFIG = """\
_base_ = '{base}'
model = dict(
    backbone=dict(init_cfg=None, arch=dict(
        _delete_=True, embed_dims=(8, 16, 24, 32), depths=(2, 2, 2, 2), num_heads=(1, 2, 3, 4),
        mlp_ratios=(2, 2, 2, 2), {attention})),
    {heads})
"""
TINY_ATTENTION = dict(
    stvit='grid_sizes=(8, 4, 1, 1)',
    pcpvt='sr_ratios=(8, 4, 2, 1)',
    svt='sr_ratios=(8, 4, 2, 1), window_sizes=(7, 7, 7, 7)',
)
TINY_HEADS = dict(
    retinanet='neck=dict(in_channels=[16, 24, 32], out_channels=16), '
    'bbox_head=dict(in_channels=16, feat_channels=16)',
    mask_rcnn='neck=dict(in_channels=[8, 16, 24, 32], out_channels=16), '
    'rpn_head=dict(in_channels=16, feat_channels=16), '
    'roi_head=dict(bbox_roi_extractor=dict(out_channels=16), '
    'mask_roi_extractor=dict(out_channels=16), '
    'bbox_head=dict(in_channels=16, fc_out_channels=64), '
    'mask_head=dict(in_channels=16, conv_out_channels=16))',
    semantic='neck=dict(in_channels=[8, 16, 24, 32], out_channels=16), '
    'decode_head=dict(in_channels=[16] * 4, channels=16)',
    upernet='decode_head=dict(in_channels=[8, 16, 24, 32], channels=16), '
    'auxiliary_head=dict(in_channels=24, channels=16)',
    segformer='decode_head=dict(in_channels=[8, 16, 24, 32], channels=16)',
    imagenet='neck=dict(in_channels=32), head=dict(in_channels=32)',
)


# Why a test may be skipped. The last is what `importorskip(NAME, VERSION)` says of an old version.
REASONS = (
    'needs a GPU|another platform: |another version of a library: |'
    r"module '\w+' has __version__ '"
)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """A skip for another reason fails, because nobody would notice a test that never runs."""
    report = yield
    if isinstance(report.longrepr, tuple):  # of a skip: file, line, reason
        *_, reason = report.longrepr
        if not re.match(f'(Skipped: )?({REASONS})', reason):
            report.outcome = 'failed'
            report.longrepr = f'{reason}\nNo reason to skip a test: see CONTRIBUTING.md'
    return report


pytest_make_collect_report = pytest_runtest_makereport  # a module's


@pytest.fixture(scope='session', autouse=True)
def end_data_workers_at_once():
    """A runner that is collected as garbage has closed the pipes that tell its workers to end.

    torch waits 5 seconds for each of them, then kills it.
    """
    if 'torch' in sys.modules:
        from torch.utils.data import _utils

        _utils.MP_STATUS_CHECK_INTERVAL = 0.1


@pytest.fixture(scope='session')
def make_tiny_config():
    """Makes one of our configs with a tiny backbone: a second instead of a minute."""

    def make(name, path):
        path.write_text(
            TINY_CONFIG.format(
                base=REPOSITORY / f'configs/{name}.py',
                attention=next(sizes for key, sizes in TINY_ATTENTION.items() if key in name),
                heads=next(heads for key, heads in TINY_HEADS.items() if name.startswith(key)),
            )
        )
        return path

    return make


@pytest.fixture
def tiny_config(make_tiny_config, tmp_path):
    return partial(make_tiny_config, path=tmp_path / 'tiny.py')


@pytest.fixture(scope='session')
def save_model():
    """Saves a config's model with random weights, which predict more than one class."""

    def save(config, target, meta=None):
        # Imported late, so that tests without a model start fast.
        import torch
        from mmengine.config import Config
        from mmengine.registry import MODELS, init_default_scope

        torch.manual_seed(0)
        cfg = Config.fromfile(config)
        init_default_scope(cfg.default_scope)
        torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict(), meta=meta or {}), target)

    return save


@pytest.fixture
def run_tool(tmp_path):
    """Runs a tool as a user does, from a folder that shares the toy data of all tests.

    Its exit status must be `status`, unless that is None.
    """

    def run(tool, *args, status=0):
        path = tool if isinstance(tool, Path) else REPOSITORY / 'tools' / f'{tool}.py'
        code, output = tool_process.run(
            path,
            list(map(str, args)),
            tmp_path,
            {**os.environ, **THREADS, 'HF_HUB_OFFLINE': '1', 'HF_HOME': str(tmp_path / 'hf')},
        )
        assert status in (None, code), output[-4000:]
        return output

    return run


@pytest.fixture
def call_tool(tmp_path, monkeypatch, capfd):
    """Like `run_tool`, but in this process, which has already imported torch."""

    def call(tool, *args, status=0):
        path = REPOSITORY / 'tools' / f'{tool}.py'
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, 'argv', [str(path), *map(str, args)])
        code = 0
        try:
            runpy.run_path(str(path), run_name='__main__')
        except SystemExit as end:
            code = end.code or 0
        message = code if isinstance(code, str) else ''
        output = ''.join(reversed(capfd.readouterr())) + message
        assert status in (None, 1 if message else code), output
        return output

    return call


@pytest.fixture(scope='session')
def toy_data(tmp_path_factory):
    """The toy data, made once for all tests and processes."""
    from twins_mm.toy.data import make_toy_data

    folder = tmp_path_factory.getbasetemp()
    return make_toy_data((folder.parent if 'PYTEST_XDIST_WORKER' in os.environ else folder) / 'toy')


@pytest.fixture
def toy_folder(tmp_path, toy_data):
    """The folder that tools run in, with the toy data where they expect it."""
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data/toy').symlink_to(toy_data)
    return tmp_path
