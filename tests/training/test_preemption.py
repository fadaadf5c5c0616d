import signal
import time

import pytest

from twins_mm.training.preemption import AGREE_EVERY, STOPPED


@pytest.mark.parametrize(
    ('by_epoch', 'number'),
    [
        pytest.param(False, signal.SIGTERM, marks=pytest.mark.large, id='iterations'),
        pytest.param(True, signal.SIGUSR1, id='epochs'),
    ],
)
def test_stopped_run_goes_on_step_for_step(by_epoch, number, train, losses):
    """Also in the middle of an epoch, which has 32 steps; not between accumulated gradients."""
    counts = 'optim_wrapper.accumulative_counts=4'
    options = dict(by_epoch=by_epoch, interval=1 if by_epoch else 50, end=2 if by_epoch else 40)
    whole = train(counts, 'model.seconds=0', run='whole', **options)
    run = train(counts, 'model.seconds=0.2', **options)
    run.wait_for('[ 3/')
    assert f'Stopped by {number.name} after iteration' in run.end(STOPPED, send=number)
    train(counts, 'model.seconds=0', resume=['--resume'], **options).end()
    whole.end()
    (unbroken,) = losses('whole')
    first, second = losses()
    assert len(unbroken) == (64 if by_epoch else 40)
    assert 3 < len(first) < 32 and len(first) % 4 == 0
    assert {**first, **second} == unbroken and not first.keys() & second.keys()


def test_second_signal_ends_a_run_at_once(train, tmp_path):
    run = train('model.seconds=5')
    run.wait_for('Checkpoints will be saved')
    time.sleep(1)
    run.process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    run.end(-signal.SIGTERM, send=signal.SIGTERM)
    assert not (tmp_path / 'run/stopped.pth').exists()


def test_processes_stop_at_the_same_step(train, losses):
    """A signal to torchrun reaches both; a second start goes on without a step lost or repeated."""
    run = train('model.seconds=0.1', end=60, interval=100, torchrun=())
    run.wait_for('[ 3/')
    output = run.end(1, send=signal.SIGTERM)  # torchrun's status, not ours
    assert 'Stopped by SIGTERM after iteration' in output
    train('model.seconds=0', end=60, interval=100, torchrun=(), resume=['--resume']).end()
    first, second = losses()
    assert len(first) % AGREE_EVERY == 0
    assert [*first, *second] == list(range(1, 61))


def test_epochs_need_no_step_seeds(train):
    other_hook = 'default_hooks.step_seed.type=EmptyCacheHook'
    train('model.seconds=0', other_hook, by_epoch=True, end=1).end()
