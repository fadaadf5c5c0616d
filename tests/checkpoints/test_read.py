from argparse import Namespace
from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmdet.apis import DetInferencer, init_detector
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.runner import CheckpointLoader, Runner
from mmseg.apis import MMSegInferencer, init_model
from safetensors.torch import save_file

from twins_mm.checkpoints.read import read_checkpoint, use_safe_loaders
from twins_mm.checkpoints.unpickle import WEIGHTS_ONLY
from twins_mm.errors import UserError


def load(content, tmp_path):
    torch.save(content, tmp_path / 'checkpoint.pth')
    return read_checkpoint(str(tmp_path / 'checkpoint.pth'))


@pytest.mark.parametrize(
    ('damage', 'reason'),
    [
        (b'', 'it is damaged'),
        (None, 'it is damaged'),
        (b'no pickle', 'it is damaged'),
        (b'\n <!DOCTYPE html>', 'it is a web page'),
        (b'version https://git-lfs.github.com/spec/v1', 'a Git LFS pointer'),
    ],
    ids=['empty', 'truncated', 'text', 'page', 'pointer'],
)
@pytest.mark.parametrize('name', ['checkpoint.pth', 'model.safetensors'])
def test_damaged_file_is_refused(name, damage, reason, tmp_path):
    path = tmp_path / name
    (torch.save if name.endswith('.pth') else save_file)(dict(x=torch.rand(1000)), path)
    path.write_bytes(path.read_bytes()[:1000] if damage is None else damage)
    with pytest.raises(UserError, match=f'{name} was refused.*{reason}'):
        read_checkpoint(str(path))


def test_anything_but_a_dict_is_refused(tmp_path):
    with pytest.raises(UserError, match='it contains a list'):
        load([torch.rand(1)], tmp_path)


def test_checkpoints_of_the_authors_code_load(tmp_path):
    """They have the weights under 'model', and the Namespace of the command line."""
    loaded = load(dict(model=dict(x=torch.ones(1)), epoch=3, args=Namespace(lr=1e-3)), tmp_path)
    assert loaded['state_dict'] == dict(x=torch.ones(1))
    assert loaded['args'].lr == 1e-3


def test_missing_file_is_reported(tmp_path):
    with pytest.raises(FileNotFoundError, match='Checkpoint not found') as caught:
        read_checkpoint(str(tmp_path / 'none.pth'))
    assert isinstance(caught.value, UserError)


class OwnGet(OrderedDict):
    """Unpickles to an OrderedDict whose `get` is replaced with a function that finds nothing."""

    def __reduce__(self):
        return OrderedDict, (), dict(get=set), None, iter(self.items())


CONFIGS = dict(
    harmless='a = 1',
    code="import os\nos.system('touch RUN')",
    call="open('RUN', 'w')",
    base="_base_ = 'RUN.py'",
    placeholder='a = {{ fileDirname }}',
    # mmengine imports model types by dotted name.
    dotted="default_scope = 'mmdet'\nmodel = dict(type='os.system', command='touch RUN')",
)
PLACES = dict(
    meta=lambda text: dict(meta=dict(cfg=text)),
    log=lambda text: dict(meta={}, message_hub=dict(runtime_info=dict(cfg=text))),
    both=lambda text: dict(
        meta=dict(cfg=text, config=text), message_hub=dict(runtime_info=dict(cfg=text))
    ),
    own_get=lambda text: OwnGet(
        meta=OwnGet(cfg=text), message_hub=OwnGet(runtime_info=OwnGet(cfg=text))
    ),
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory of a test with safe loaders, which must not create the file RUN."""
    monkeypatch.setattr(CheckpointLoader, '_schemes', CheckpointLoader._schemes.copy())
    use_safe_loaders()
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'RUN.py').write_text("open('RUN', 'w')")
    yield tmp_path
    assert not (tmp_path / 'RUN').exists()


@pytest.mark.parametrize('place', PLACES)
@pytest.mark.parametrize('config', CONFIGS)
@pytest.mark.parametrize(
    ('inferencer', 'scope'), [(DetInferencer, 'mmdet'), (MMSegInferencer, 'mmseg')]
)
def test_no_model_is_built_from_a_checkpoint(inferencer, scope, config, place, folder):
    torch.save(PLACES[place](CONFIGS[config]), folder / 'checkpoint.pth')
    with pytest.raises(ValueError, match='Cannot find the config in the checkpoint'):
        inferencer(None, weights='checkpoint.pth', scope=scope, device='cpu')


@pytest.mark.parametrize(
    ('name', 'build'),
    [('retinanet_twins_svt_s_1x', init_detector), ('semantic_fpn_twins_svt_s_80k', init_model)],
)
def test_model_of_a_named_config_is_loaded(name, build, tiny_config, folder):
    config = Config.fromfile(tiny_config(name))
    weights = build(config, device='cpu').state_dict()
    torch.save(dict(PLACES['both'](CONFIGS['code']), state_dict=weights), folder / 'model.pth')
    loaded = build(config, 'model.pth', device='cpu').state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in weights.items())


class Scale(BaseModel):
    """A model with one weight."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1))

    def forward(self, inputs, mode):
        return dict(loss=self.scale * sum(inputs))


def train(name, **options):
    """Trains a model with one weight for two epochs, with everything a checkpoint can contain."""
    data = torch.utils.data.TensorDataset(torch.ones(2))
    data.metainfo = dict(classes=np.array(['a']), palette=np.zeros((1, 3), np.uint8))
    Runner(
        Scale(),
        name,
        train_dataloader=dict(
            dataset=data, batch_size=1, sampler=dict(type='DefaultSampler', shuffle=False)
        ),
        train_cfg=dict(by_epoch=True, max_epochs=2),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.1)),
        param_scheduler=dict(type='OneCycleLR', eta_max=0.1, total_steps=9, by_epoch=False),
        custom_hooks=[dict(type='EMAHook')],
        default_scope='mmengine',
        experiment_name=name,
        cfg=Config(dict(name=name)),
        **options,
    ).train()
    return torch.load(f'{name}/epoch_2.pth', weights_only=False)


@pytest.mark.parametrize('config', CONFIGS)
def test_resumed_run_keeps_its_own_config(config, folder):
    whole = train(f'whole_{config}')
    broken = torch.load(f'whole_{config}/epoch_1.pth', weights_only=False)
    for owner, key in (
        (broken['meta'], 'config'),
        (broken['meta'], 'cfg'),
        (broken['message_hub']['runtime_info'], 'cfg'),
    ):
        owner[key] = CONFIGS[config]
    torch.save(broken, 'crafted.pth')
    resumed = train(f'resumed_{config}', resume=True, load_from='crafted.pth')
    for weights in ('state_dict', 'ema_state_dict'):
        assert resumed[weights] == whole[weights]
    assert 'config' not in resumed['meta']
    for written in (resumed['meta'], resumed['message_hub']['runtime_info']):
        assert written['cfg'] == f"name = 'resumed_{config}'\n"


@pytest.mark.parametrize(
    ('content', 'place'),
    [
        (dict(meta=[1]), 'meta'),
        (dict(message_hub=3.0), 'message_hub'),
        (dict(message_hub=dict(runtime_info=np.str_('cfg'))), 'runtime_info'),
    ],
)
def test_config_outside_a_dict_is_refused(content, place, tmp_path):
    with pytest.raises(UserError, match=f'its {place} is not a dict but a '):
        load(content, tmp_path)


@pytest.mark.skipif(
    not WEIGHTS_ONLY, reason='another version of a library: torch before 2.6 checks nothing'
)
def test_values_with_fields_are_refused(folder):
    """`value['runtime_info']['cfg']` gives a string, although nothing is a dict."""
    fields = np.array(((CONFIGS['call'],),), [('runtime_info', [('cfg', 'U100')])])[()]
    with pytest.raises(UserError, match='was refused'):
        load(dict(message_hub=fields), folder)


def test_checkpoint_without_a_log_loads(tmp_path):
    content = dict(state_dict=dict(x=torch.ones(1)), meta=None)
    assert load(content, tmp_path) == content
