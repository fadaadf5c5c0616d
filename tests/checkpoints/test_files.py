from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.runner import CheckpointLoader
from safetensors.torch import save_file

from twins_mm.errors import UserError

CONFIGS = Path(__file__).parents[2] / 'configs'


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
    assert np.array_equal(load(dict(value=value), tmp_path)['value'], value)


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


@pytest.mark.parametrize(('damage', 'reason'), [
    (b'', 'it is damaged'), (None, 'it is damaged'),
    (b'\n <!DOCTYPE html>', 'it is a web page'),
    (b'version https://git-lfs.github.com/spec/v1', 'a pointer to a file')],
    ids=['empty', 'truncated', 'page', 'pointer'])
@pytest.mark.parametrize('name', ['checkpoint.pth', 'model.safetensors'])
def test_damaged_file_is_refused(name, damage, reason, tmp_path):
    path = tmp_path / name
    (torch.save if name.endswith('.pth') else save_file)(dict(x=torch.rand(1000)), path)
    path.write_bytes(path.read_bytes()[:1000] if damage is None else damage)
    with pytest.raises(UserError, match=f'{name} was refused.*{reason}'):
        CheckpointLoader.load_checkpoint(str(path))


def test_what_is_not_weights_by_name_is_refused(tmp_path):
    with pytest.raises(UserError, match='it holds a list'):
        load([torch.rand(1)], tmp_path)


def test_weights_that_the_authors_code_saved_load(tmp_path):
    """Its checkpoints have the weights under 'model', and the Namespace of its command line."""
    loaded = load(dict(model=dict(x=torch.ones(1)), epoch=3, args=Namespace(lr=1e-3)), tmp_path)
    assert loaded['state_dict'] == dict(x=torch.ones(1))
    assert loaded['args'].lr == 1e-3


@pytest.mark.parametrize(('config', 'harmless'), [
    (Config(dict(a=1, b=dict(c=[-1.5, None, 'x'], d={1: (True,)}))).pretty_text, True),
    *((Config.fromfile(path).pretty_text, True) for path in sorted(CONFIGS.glob('*_s_*.py'))),
    ("import os\nos.system('touch RUN')", False), ("a = dict(b=open('RUN', 'w'))", False),
    ('a = {{ fileDirname }}', False), ("a = '{{$A:x}}'", False), ("_base_ = 'RUN.py'", False),
    ("a = [open('RUN', 'w') for _ in 'a']", False), ("f'{open(1)}'", False)])
@pytest.mark.parametrize('key', ['config', 'cfg'])
def test_config_that_runs_code_is_refused(key, config, harmless, tmp_path):
    """mmengine executes the one when it resumes, mmdet's inferencer the other."""
    content = dict(meta={key: config}, state_dict=dict())
    if harmless:
        assert load(content, tmp_path)['meta'][key] == config
    else:
        with pytest.raises(UserError, match=f'the config in its meta.{key} runs code'):
            load(content, tmp_path)


def test_missing_file_is_told(tmp_path):
    with pytest.raises(UserError, match='There is no checkpoint'):
        CheckpointLoader.load_checkpoint(str(tmp_path / 'none.pth'))
