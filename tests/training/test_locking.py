import signal
import socket

import pytest
from mmengine.config import Config

from twins_mm.errors import UserError
from twins_mm.training.locking import lock_work_dir


def test_second_run_in_a_folder_is_refused(train, tmp_path):
    """Until the first has ended, in whatever way."""
    first = train('model.seconds=0.5', end=1000)
    first.wait_for('Checkpoints will be saved')
    second = Config(dict(work_dir=str(tmp_path / 'run'), launcher='none'))
    with pytest.raises(
        UserError,
        match=f'/run is in use by process {first.process.pid} on {socket.gethostname()}. ',
    ):
        lock_work_dir(second)
    first.end(-signal.SIGKILL, send=signal.SIGKILL)
    lock_work_dir(second)


def test_only_the_first_process_of_a_run_takes_the_lock(tmp_path, monkeypatch):
    monkeypatch.setenv('RANK', '1')
    lock_work_dir(Config(dict(work_dir=str(tmp_path), launcher='pytorch')))
    assert not list(tmp_path.iterdir())


def test_a_process_in_no_group_takes_the_lock(tmp_path, monkeypatch):
    """Whatever rank its environment has, as that of a notebook on a cluster."""
    monkeypatch.setenv('RANK', '1')
    lock_work_dir(Config(dict(work_dir=str(tmp_path), launcher='none')))
    assert [path.name for path in tmp_path.iterdir()] == ['run.lock']
