from types import SimpleNamespace

import pytest
import torch

from twins_mm.errors import UserError
from twins_mm.training.nan_check import FiniteLossHook
from twins_mm.training.resuming import list_checkpoints


@pytest.mark.parametrize(
    ('interval', 'newest'), [(1, 13), pytest.param(6, 12, marks=pytest.mark.large), (50, None)]
)
def test_nan_stops_a_run_at_once(interval, newest, train, losses, tmp_path):
    """Before it is saved; the message names the batch that it was."""
    images = torch.randperm(64, generator=torch.Generator().manual_seed(0)).tolist()[26:28]
    output = train(
        f'train_dataloader.dataset.bad={images[0]}', 'model.seconds=0', interval=interval, end=20
    ).end(1)
    assert 'Traceback' not in output
    assert 'error: Training stopped at iteration 14, with nan as the loss' in output
    for image in images:
        assert f'\n  image_{image}.jpg\n' in output
    good = [tmp_path / f'run/iter_{newest}.pth'] if newest else []
    assert f'The last good checkpoint: {good[0] if good else "none yet"}\n' in output
    assert list_checkpoints(tmp_path / 'run')[:1] == good
    assert max(losses()[0]) == 13


@pytest.mark.large
def test_nan_in_another_process_is_named_and_not_saved(train, tmp_path):
    """Its weights reach the process that saves."""
    images = torch.randperm(64, generator=torch.Generator().manual_seed(0)).tolist()[53:56:2]
    output = train(
        f'train_dataloader.dataset.bad={images[0]}',
        'model.seconds=0',
        interval=10,
        end=20,
        torchrun=(),
    ).end(1)
    assert 'error: Training stopped at iteration 14, with nan as the loss' in output
    assert all(f'  image_{image}.jpg\n' in output for image in images)
    newest, *_ = list_checkpoints(tmp_path / 'run')
    assert newest.name == 'iter_10.pth'


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    """A buffer may be infinite, as a causal mask is."""
    model = torch.nn.BatchNorm1d(2)
    model.running_mean.fill_(-torch.inf)
    runner = SimpleNamespace(iter=7, work_dir=tmp_path, model=model)
    FiniteLossHook().before_save_checkpoint(runner, {})
    torch.nn.init.constant_(model.weight, torch.inf)
    with pytest.raises(UserError, match=r'at iteration 7, with NaN or infinite weights\.\n'):
        FiniteLossHook().before_save_checkpoint(runner, {})
