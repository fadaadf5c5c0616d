from types import SimpleNamespace

import pytest
import torch

from twins_mm.errors import UserError
from twins_mm.training.finiteness import FiniteLossHook
from twins_mm.training.resuming import list_checkpoints


@pytest.mark.parametrize(('interval', 'newest'), [
    (1, 13), pytest.param(6, 12, marks=pytest.mark.large), (50, None)])
def test_nan_stops_a_run_before_it_is_saved(interval, newest, train, tmp_path):
    """At a checkpoint, or a few iterations later; the message names the batch that it was."""
    images = torch.randperm(64, generator=torch.Generator().manual_seed(0)).tolist()[26:28]
    output = train(f'train_dataloader.dataset.bad={images[0]}', 'model.seconds=0',
                   interval=interval, end=20).end(1)
    assert 'Traceback' not in output
    assert 'error: Training stopped at iteration 14, with nan as the loss' in output
    for image in images:
        assert f'\n  image_{image}.jpg\n' in output
    good = [tmp_path / f'run/iter_{newest}.pth'] if newest else []
    assert f'The last good checkpoint: {good[0] if good else "none yet"}\n' in output
    assert list_checkpoints(tmp_path / 'run')[:1] == good


@pytest.mark.large
def test_nan_in_another_process_is_named_and_not_saved(train, tmp_path):
    """Its weights reach the process that saves."""
    images = torch.randperm(64, generator=torch.Generator().manual_seed(0)).tolist()[53:56:2]
    output = train(f'train_dataloader.dataset.bad={images[0]}', 'model.seconds=0',
                   interval=10, end=20, torchrun=()).end(1)
    assert 'error: Training stopped at iteration 14, with nan as the loss' in output
    assert all(f'  image_{image}.jpg\n' in output for image in images)
    newest, *_ = list_checkpoints(tmp_path / 'run')
    assert newest.name == 'iter_10.pth'


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    checkpoint = dict(state_dict=dict(count=torch.tensor(3), weight=torch.tensor([1., torch.inf])))
    with pytest.raises(UserError, match='at iteration 7, with NaN or infinite weights'):
        FiniteLossHook().before_save_checkpoint(
            SimpleNamespace(iter=7, work_dir=tmp_path), checkpoint)
    checkpoint['state_dict']['weight'] = torch.ones(2)
    FiniteLossHook().before_save_checkpoint(None, checkpoint)
