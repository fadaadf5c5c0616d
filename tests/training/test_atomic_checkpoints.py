import signal
from pathlib import Path
from unittest.mock import MagicMock

import pytest
from mmengine.fileio import get_file_backend
from mmengine.registry import HOOKS

from twins_mm.training.atomic_checkpoints import BACKEND
from twins_mm.training.resuming import list_checkpoints


def test_checkpoint_cut_short_by_a_kill_never_becomes_the_newest(
    train, losses, tmp_path, monkeypatch
):
    monkeypatch.setenv('DISK', 'stuck iter_8.pth')
    run = train('model.seconds=0')
    run.wait_for('The disk is stuck')
    run.end(-signal.SIGKILL, send=signal.SIGKILL)
    assert [path.name for path in list_checkpoints(tmp_path / 'run')] == ['iter_4.pth']
    assert len(list(Path(tmp_path, 'run').glob('partial_*'))) == 1
    monkeypatch.delenv('DISK')
    train('model.seconds=0', resume=['--resume']).end()
    assert not list(Path(tmp_path, 'run').glob('partial_*'))
    first, second = losses()
    assert min(second) == 5
    assert {**second, **first} == {**first, **second}


def test_full_disk_is_reported_and_leaves_the_old_checkpoint(train, tmp_path, monkeypatch):
    """Even where only one is kept, which mmengine removes before it writes the next."""
    monkeypatch.setenv('DISK', 'full iter_12.pth')
    output = train('model.seconds=0', 'default_hooks.checkpoint.max_keep_ckpts=1').end(1)
    assert 'iter_12.pth could not be written: No space left on device.' in output
    assert 'Traceback' not in output
    assert [path.name for path in list_checkpoints(tmp_path / 'run')] == ['iter_8.pth']


def test_old_checkpoint_is_removed_after_the_next_one_is_written(tmp_path):
    for name in ('old', 'new'):
        get_file_backend(backend_args=dict(backend=BACKEND)).put(b'weights', tmp_path / name)
        if name == 'old':
            get_file_backend(backend_args=dict(backend=BACKEND)).remove(tmp_path / name)
            assert (tmp_path / name).exists()
    assert [path.name for path in tmp_path.iterdir()] == ['new']


@pytest.mark.parametrize('first', [True, False])
def test_only_the_first_process_writes_scores(first, monkeypatch, tmp_path):
    """All write the same file, and in mmengine at the same time."""
    monkeypatch.setattr('mmengine.dist.utils.is_main_process', lambda group=None: first)
    runner = MagicMock(log_dir=str(tmp_path), timestamp='now', _log_dir=str(tmp_path))
    runner.log_processor.get_log_after_epoch.return_value = dict(mIoU=50.0), 'mIoU: 50'
    hook = HOOKS.build(dict(type='MainProcessLoggerHook'))
    hook.before_run(runner)
    hook.after_test_epoch(runner)
    assert [path.name for path in tmp_path.iterdir()] == ['now.json'] * first
