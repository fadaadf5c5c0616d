import logging
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config

from twins_mm.errors import UserError
from twins_mm.training.locking import lock_work_dir
from twins_mm.training.resuming import NewestCheckpointHook, list_checkpoints


def worker(rank):
    """The process id of a worker of the torchrun that this process started."""
    for folder in Path('/proc').glob('[0-9]*'):
        try:
            environment = (folder / 'environ').read_bytes().split(b'\0')
            if f'RANK={rank}'.encode() in environment and str(os.getpid()) == parent(
                parent(folder.name)
            ):
                return int(folder.name)
        except (OSError, ValueError):
            pass  # it has ended, or belongs to someone else
    raise AssertionError(f'there is no worker {rank}')


def parent(process):
    return Path('/proc', str(process), 'stat').read_text().rpartition(')')[2].split()[1]


def test_torchrun_restarts_a_killed_run_from_its_newest_checkpoint(train, losses):
    run = train('model.seconds=0.1', interval=4, end=30, torchrun=('--max-restarts', '3'))
    run.wait_for('[ 6/')
    os.kill(worker(1), signal.SIGKILL)
    run.end()
    first, second = losses()
    assert [min(second), max(second)] == [max(first) // 4 * 4 + 1, 30]
    assert {**second, **first} == {**first, **second}


def test_damaged_checkpoint_is_named_and_the_one_before_it_taken(train, losses, tmp_path):
    train('model.seconds=0', interval=4, end=12).end()
    newest = tmp_path / 'run/iter_12.pth'
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    output = train('model.seconds=0', interval=4, end=12, resume=['--resume']).end()
    assert f'{newest} is damaged' in output
    first, second = losses()
    assert second == {step: first[step] for step in range(9, 13)}


def test_newest_checkpoint_is_the_noted_one_and_then_by_time(tmp_path):
    names = [
        'epoch_1.pth',
        'iter_7.pth',
        'stopped.pth',
        'best_mIoU_iter_7.pth',
        'partial_iter_9.pth',
    ]
    for second, name in enumerate(names):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (second, second))
    assert [path.name for path in list_checkpoints(tmp_path)] == [
        'stopped.pth',
        'iter_7.pth',
        'epoch_1.pth',
    ]
    (tmp_path / 'last_checkpoint').write_text('/folder/before/moving/iter_7.pth')
    assert [path.name for path in list_checkpoints(tmp_path)] == [
        'iter_7.pth',
        'stopped.pth',
        'epoch_1.pth',
    ]


@pytest.fixture
def runner(tmp_path):
    return SimpleNamespace(
        work_dir=tmp_path,
        logger=logging.getLogger(),
        rank=0,
        _resume=False,
        _load_from='weights.pth',
    )


def test_run_does_not_start_anew_if_all_checkpoints_are_damaged(runner, tmp_path):
    (tmp_path / 'iter_9.pth').touch()
    with pytest.raises(UserError, match='No checkpoint to resume is whole: .*/iter_9.pth'):
        NewestCheckpointHook().before_run(runner)


def test_restarted_run_passes_over_checkpoints_of_an_earlier_one(runner, tmp_path):
    """A run of torchrun's that was killed before its first checkpoint starts anew."""
    torch.save({}, tmp_path / 'iter_9.pth')
    os.utime(tmp_path / 'iter_9.pth', (1, 1))
    lock_work_dir(Config(dict(work_dir=str(tmp_path), launcher='none')))
    NewestCheckpointHook(since_launch=True).before_run(runner)
    assert (runner._resume, runner._load_from) == (False, 'weights.pth')
    NewestCheckpointHook().before_run(runner)
    assert (runner._resume, runner._load_from) == (True, str(tmp_path / 'iter_9.pth'))
