import os
import select
import signal
from unittest.mock import MagicMock

import pytest
from mmengine.registry import HOOKS

from twins_mm.training.resuming import list_checkpoints


def test_checkpoint_cut_short_by_a_kill_never_becomes_the_newest(train, losses, tmp_path):
    pipe = tmp_path / 'run/partial_iter_8.pth'
    pipe.parent.mkdir()
    os.mkfifo(pipe)  # writing stops after what fits into it
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    run = train('model.seconds=0')
    run.wait_for(lambda: select.select([reader], [], [], 0)[0])
    run.end(-signal.SIGKILL, send=signal.SIGKILL)
    os.close(reader)
    pipe.unlink()
    assert [path.name for path in list_checkpoints(tmp_path / 'run')] == ['iter_4.pth']
    train('model.seconds=0', resume=['--resume']).end()
    first, second = losses()
    assert min(second) == 5
    assert {**second, **first} == {**first, **second}


def test_full_disk_is_reported_and_leaves_the_old_checkpoint(train, tmp_path):
    """Even where only one is kept, which mmengine removes before it writes the next."""
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run/partial_iter_12.pth').symlink_to('/dev/full')
    output = train('model.seconds=0', 'default_hooks.checkpoint.max_keep_ckpts=1').end(1)
    assert 'iter_12.pth could not be written: No space left on device.' in output
    assert 'Traceback' not in output
    assert [path.name for path in list_checkpoints(tmp_path / 'run')] == ['iter_8.pth']


@pytest.mark.parametrize('first', [True, False])
def test_only_the_first_process_writes_scores(first, monkeypatch, tmp_path):
    """All write the same file, and in mmengine at the same time."""
    monkeypatch.setattr('mmengine.dist.utils.is_main_process', lambda group=None: first)
    runner = MagicMock(log_dir=str(tmp_path), timestamp='now', _log_dir=str(tmp_path))
    runner.log_processor.get_log_after_epoch.return_value = dict(mIoU=50.0), 'mIoU: 50'
    hook = HOOKS.build(dict(type='LoggerHook'))
    hook.before_run(runner)
    hook.after_test_epoch(runner)
    assert [path.name for path in tmp_path.iterdir()] == ['now.json'] * first
