import copy
import pickle
import re
import subprocess
import sys
import zipfile
from argparse import Namespace
from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.optim import OptimWrapper
from mmengine.registry import PARAM_SCHEDULERS

from twins_mm.checkpoints import read_checkpoint, unpickle
from twins_mm.errors import UserError

checked = pytest.mark.skipif(
    not unpickle.WEIGHTS_ONLY,
    reason='another version of a library: torch before 2.6 checks nothing',
)


class Stranger:
    """A class that no list allows."""


class Call:
    """Unpickles to a function's return value."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


class DType:
    """Unpickles to `numpy.dtype(code)` with a given state."""

    def __init__(self, code, *state):
        self.code, self.state = code, state

    def __reduce__(self):
        return np.dtype, (self.code,), *self.state


def load(content, tmp_path):
    torch.save(content, tmp_path / 'checkpoint.pth')
    return read_checkpoint(str(tmp_path / 'checkpoint.pth'))


def load_plainly(content, tmp_path):
    """As mmengine 0.10 does; torch 2.6 and newer take that for `weights_only=True`."""
    torch.save(content, tmp_path / 'checkpoint.pth')
    return torch.load(
        tmp_path / 'checkpoint.pth', **({} if unpickle.WEIGHTS_ONLY else dict(weights_only=False))
    )


@pytest.mark.parametrize('load', [load, load_plainly])
def test_log_of_mmengine_loads(load, tmp_path):
    hub = MessageHub('test_log_of_mmengine_loads')
    for value in (1.0, 3.0):
        hub.update_scalar('train/loss', value)
    hub.update_info('best_score', np.float32(0.5))
    loaded = load(dict(message_hub=hub.state_dict()), tmp_path)['message_hub']
    loss = loaded['log_scalars']['train/loss']
    assert (loss.mean(), loss.min(), loss.max(), loss.current()) == (2, 1, 3, 3)
    assert isinstance(loss.mean(), np.float64)
    assert loaded['runtime_info']['best_score'] == 0.5
    loss.update(8.0)
    assert loss.mean() == 4


@pytest.mark.parametrize('load', [load, load_plainly])
@pytest.mark.parametrize(
    'value',
    [
        np.float64(1.5),
        np.float32(1.5),
        np.int64(3),
        np.int32(3),
        np.bool_(True),
        np.arange(3.0),
        np.arange(3),
        np.float16(1.5),
        np.complex64(1j),
        np.str_('road'),
        np.str_(''),
        np.array([[0, 255]], np.uint8),
        np.array([-1], np.int16),
        np.array(['road', 'bus']),
        np.zeros(0),
        np.array(3.0),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.arange(3, dtype='>i2'),
    ],
    ids=lambda value: f'{value.dtype}{list(value.shape)}',
)
def test_numpy_values_load(value, load, tmp_path):
    loaded = load(dict(value=value), tmp_path)['value']
    assert isinstance(loaded, type(value))
    assert np.array_equal(loaded, value)
    assert loaded.shape == value.shape
    assert loaded.dtype == value.dtype.newbyteorder('=')
    # A resumed run saves it again, and others load that.
    again = pickle.loads(pickle.dumps(copy.deepcopy(loaded)))
    assert type(again) is type(value)
    assert np.array_equal(again, value)


@pytest.mark.parametrize(
    'value',
    [ConfigDict(classes=('a', 'b'), nested=[dict(c=1)]), range(3), frozenset('ab'), {1, 2}],
    ids=lambda value: type(value).__name__,
)
def test_meta_of_a_data_set_loads(value, tmp_path):
    loaded = load(dict(meta=dict(dataset_meta=dict(x=value))), tmp_path)
    assert loaded['meta']['dataset_meta']['x'] == value
    assert type(loaded['meta']['dataset_meta']['x']) is type(value)


@pytest.mark.parametrize('core', ['core', '_core'])
def test_names_of_both_numpys_load(core, tmp_path):
    """numpy 1 wrote `numpy.core`, numpy 2 writes `numpy._core`."""
    torch.save(dict(a=np.arange(3.0), b=np.float32(0.5)), tmp_path / 'ours.pth')
    with (
        zipfile.ZipFile(tmp_path / 'ours.pth') as ours,
        zipfile.ZipFile(tmp_path / 'other.pth', 'w') as other,
    ):
        for name in ours.namelist():
            content, _ = re.subn(rb'numpy\._?core', f'numpy.{core}'.encode(), ours.read(name))
            other.writestr(name, content)
    loaded = read_checkpoint(str(tmp_path / 'other.pth'))
    assert loaded['a'].tolist() == [0, 1, 2]
    assert loaded['b'] == 0.5


@pytest.mark.parametrize(
    ('name', 'options'),
    [
        ('OneCycleLR', dict(eta_max=0.1, total_steps=9)),
        ('OneCycleLR', dict(eta_max=0.1, total_steps=9, anneal_strategy='linear')),
        ('ReduceOnPlateauLR', {}),
        ('PolyLR', dict(end=9)),
        ('CosineAnnealingLR', dict(T_max=9)),
        ('CosineRestartLR', dict(periods=[9], eta_min=0)),
        ('MultiStepLR', dict(milestones=[3, 5])),
        ('LinearLR', dict(end=9)),
        ('ExponentialLR', dict(gamma=0.9)),
    ],
)
def test_schedule_resumes(name, options, tmp_path):
    def build():
        optimizer = OptimWrapper(torch.optim.SGD(torch.nn.Linear(1, 1).parameters(), lr=0.1))
        return PARAM_SCHEDULERS.build(dict(options, type=name, optimizer=optimizer))

    def rates(scheduler):
        for _ in range(3):
            scheduler.optimizer.step()
            scheduler.step()
            yield scheduler.optimizer.get_lr()['lr']

    whole, resumed = build(), build()
    list(rates(whole))
    state = dict(scheduler=whole.state_dict(), optimizer=whole.optimizer.state_dict())
    loaded = load(state, tmp_path)
    resumed.load_state_dict(loaded['scheduler'])
    resumed.optimizer.load_state_dict(loaded['optimizer'])
    assert list(rates(resumed)) == list(rates(whole))
    load(resumed.state_dict(), tmp_path)


@checked
@pytest.mark.parametrize('load', [load, load_plainly])
@pytest.mark.parametrize(
    'content',
    [
        Stranger(),
        Call(getattr, int, 'from_bytes'),
        Call(getattr, HistoryBuffer, '__init__'),
        Call(getattr, HistoryBuffer([1], [1]), 'mean'),
        Call(getattr, OrderedDict, 'fromkeys'),
    ],
    ids=['class', 'function', 'other method', 'bound method', 'allowed class'],
)
def test_anything_else_is_refused(content, load, tmp_path):
    with pytest.raises(
        (UserError, pickle.UnpicklingError),
        match=('was refused, and none of its code was run|Weights only load failed|^refused'),
    ):
        load(dict(state_dict=content), tmp_path)


ADDRESS = b'12345678'
SCALAR, RECONSTRUCT = np.float64(0).__reduce__()[0], np.zeros(0).__reduce__()[0]


@checked
@pytest.mark.parametrize(
    'content',
    [
        Call(SCALAR, DType('O'), ADDRESS),
        Call(SCALAR, Namespace(dtype='O'), ADDRESS),
        Call(SCALAR, DType([('cfg', 'U100')]), bytes(400)),
        np.array([None]),
        np.zeros(1, 'M8[s]'),
    ],
    ids=['object', 'no type', 'fields', 'objects', 'time'],
)
def test_numpy_values_that_are_not_plain_are_refused(content, tmp_path):
    with pytest.raises(UserError, match='was refused'):
        load(dict(value=content), tmp_path)


@checked
@pytest.mark.parametrize(
    'content',
    [
        Call(np.ndarray, (1,), 'O', ADDRESS),
        Call(RECONSTRUCT, np.ndarray, (1,), 'O'),
        Call(SCALAR, DType('f8', (4, '<', None, None, None, -1, -1, 63, {})), ADDRESS),
        Call(SCALAR, DType('U2', (3, '<', None, ('a',), {'a': (b'', 0)}, 8, 4, 0)), ADDRESS),
    ],
    ids=['array', 'function', 'flags', 'fields'],
)
def test_numpy_values_never_hold_addresses(content, tmp_path):
    dtype = load(dict(value=content), tmp_path)['value'].dtype
    assert not dtype.hasobject
    assert dtype.fields is None


@checked
def test_error_says_how_to_allow_a_type(tmp_path):
    name = f'{Stranger.__module__}.Stranger'
    with pytest.raises(UserError, match=rf'it contains {name}(.|\n)*safe_globals\(\[{name}\]\)'):
        load(dict(state_dict=Stranger()), tmp_path)
    with torch.serialization.safe_globals([Stranger]):
        assert isinstance(load(dict(state_dict=Stranger()), tmp_path)['state_dict'], Stranger)


@checked
@pytest.mark.parametrize(
    'allowed',
    [
        [np.dtype],
        [np.ndarray, np.dtype],
        [np.dtype, SCALAR],
        [np.ndarray, np.dtype, RECONSTRUCT],
        [HistoryBuffer, np.ndarray, np.dtype, SCALAR, RECONSTRUCT],
    ],
)
def test_what_a_process_has_allowed_before_the_import_goes_on(allowed, tmp_path):
    """Even numpy's own constructors; ours stand in for the others."""
    torch.save(
        dict(array=np.arange(3.0), scalar=np.float32(0.5), log=HistoryBuffer([1], [1])),
        tmp_path / 'checkpoint.pth',
    )
    code = f"""
import pickle, numpy, torch
torch.serialization.add_safe_globals([
    *pickle.loads({pickle.dumps(allowed)!r}),
    *(type(numpy.dtype(code)) for code in ('f8', 'f4', 'i8'))])
before = set(torch.serialization.get_safe_globals())
import twins_mm
assert before < set(torch.serialization.get_safe_globals())
loaded = torch.load({str(tmp_path / 'checkpoint.pth')!r})
print(loaded['array'].tolist(), loaded['scalar'], loaded['log'].current())
"""
    assert subprocess.check_output([sys.executable, '-c', code], text=True).splitlines()[-1] == (
        '[0.0, 1.0, 2.0] 0.5 1'
    )


@checked
def test_types_that_the_user_allows_are_kept(tmp_path):
    """They include numpy's constructors, as is widely recommended."""
    with torch.serialization.safe_globals([np.ndarray, np.dtype, (getattr, 'builtins.getattr')]):
        before = set(torch.serialization.get_safe_globals())
        assert load(dict(value=np.arange(3.0)), tmp_path)['value'].tolist() == [0, 1, 2]
        with pytest.raises(UserError, match='was refused'):
            load(dict(value=Call(getattr, int, 'from_bytes')), tmp_path)
        assert set(torch.serialization.get_safe_globals()) == before


def test_older_torch_trusts_files(tmp_path, monkeypatch):
    monkeypatch.setattr(unpickle, 'WEIGHTS_ONLY', False)
    content = dict(value=Stranger(), meta=dict(config='a = 1'), model=dict(x=torch.ones(1)))
    loaded = load(content, tmp_path)
    assert isinstance(loaded['value'], Stranger)
    assert 'config' not in loaded['meta']
    assert loaded['state_dict'] == content['model']
