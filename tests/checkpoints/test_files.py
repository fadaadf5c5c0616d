import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.runner import CheckpointLoader

from twins_mm.errors import UserError


class Stranger:
    """A class that no list names."""


class GetAttribute:
    """Unpickles to `getattr(owner, name)`."""

    def __init__(self, owner, name):
        self.owner, self.name = owner, name

    def __reduce__(self):
        return getattr, (self.owner, self.name)


def load(content, tmp_path):
    torch.save(content, tmp_path / 'checkpoint.pth')
    return CheckpointLoader.load_checkpoint(str(tmp_path / 'checkpoint.pth'))


def test_log_of_mmengine_loads(tmp_path):
    hub = MessageHub('test_log_of_mmengine_loads')
    for value in (1., 3.):
        hub.update_scalar('train/loss', value)
    hub.update_info('best_score', np.float32(0.5))
    loaded = load(dict(message_hub=hub.state_dict()), tmp_path)['message_hub']
    loss = loaded['log_scalars']['train/loss']
    assert (loss.mean(), loss.min(), loss.max(), loss.current()) == (2, 1, 3, 3)
    assert loaded['runtime_info']['best_score'] == 0.5


@pytest.mark.parametrize('value', [
    np.float64(1.5), np.float32(1.5), np.int64(3), np.int32(3), np.bool_(True), np.arange(3.),
    np.arange(3)], ids=lambda value: str(value.dtype))
def test_numpy_values_load(value, tmp_path):
    assert np.array_equal(load(value, tmp_path), value)


def test_names_of_the_other_numpy_load(tmp_path):
    """numpy 1 wrote `numpy.core`, numpy 2 writes `numpy._core`."""
    allowed = {entry[1] for entry in torch.serialization.get_safe_globals()
               if isinstance(entry, tuple)}
    assert {f'numpy.{core}.multiarray.{name}' for core in ('core', '_core')
            for name in ('_reconstruct', 'scalar')} <= allowed


@pytest.mark.parametrize('content', [
    Stranger(), GetAttribute(int, 'from_bytes'), GetAttribute(HistoryBuffer, '__init__'),
    GetAttribute(HistoryBuffer([1], [1]), 'mean')],
    ids=['class', 'function', 'other method', 'bound method'])
def test_anything_else_is_refused(content, tmp_path):
    with pytest.raises(UserError, match='was refused, and nothing of it was run'):
        load(dict(state_dict=content), tmp_path)


@pytest.mark.parametrize('damage', [b'', b'<html>Not found</html>', None],
                         ids=['empty', 'page', 'truncated'])
def test_damaged_file_is_refused(damage, tmp_path):
    path = tmp_path / 'checkpoint.pth'
    torch.save(dict(x=torch.rand(1000)), path)
    path.write_bytes(path.read_bytes()[:1000] if damage is None else damage)
    with pytest.raises(UserError, match='checkpoint.pth was refused'):
        CheckpointLoader.load_checkpoint(str(path))


def test_missing_file_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match='There is no checkpoint'):
        CheckpointLoader.load_checkpoint(str(tmp_path / 'none.pth'))
