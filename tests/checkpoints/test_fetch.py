from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import torch
from safetensors.torch import save_file

from twins_mm import TwinsPCPVT
from twins_mm.checkpoints.read import read_checkpoint
from twins_mm.checkpoints.unpickle import WEIGHTS_ONLY
from twins_mm.errors import UserError

TINY = dict(
    embed_dims=(8, 16), depths=(1, 1), num_heads=(1, 2), mlp_ratios=(2, 2), sr_ratios=(2, 1)
)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A cache folder in huggingface_hub's layout, with one model at two revisions."""
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_CACHE', str(tmp_path))
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', True)
    repository = tmp_path / 'models--timm--twins_tiny.in1k'
    (repository / 'refs').mkdir(parents=True)
    for revision, value in (('main', 1.0), ('v2', 2.0)):
        snapshot = repository / 'snapshots' / f'{revision}-commit'
        snapshot.mkdir(parents=True)
        (repository / 'refs' / revision).write_text(f'{revision}-commit')
        save_file(dict(x=torch.tensor(value)), snapshot / 'model.safetensors')
        torch.save(dict(x=torch.tensor(-value)), snapshot / 'weights.pth')
    return snapshot


@pytest.mark.parametrize(
    ('address', 'value'),
    [
        ('hf://timm/twins_tiny.in1k', 1),
        ('hf://timm/twins_tiny.in1k@v2', 2),
        ('hf://timm/twins_tiny.in1k/weights.pth', -1),
        ('hf://timm/twins_tiny.in1k@v2/weights.pth', -2),
    ],
)
def test_loads_from_the_cache(address, value, hub):
    assert read_checkpoint(address, 'cpu')['x'] == value


def test_backbone_starts_from_the_hub(hub):
    weights = {
        key: torch.full_like(value, 0.5)
        for key, value in TwinsPCPVT(TINY, out_indices=(0, 1)).state_dict().items()
    }
    save_file(weights, hub / 'model.safetensors')
    model = TwinsPCPVT(
        TINY,
        out_indices=(0, 1),
        init_cfg=dict(type='Pretrained', checkpoint='hf://timm/twins_tiny.in1k@v2'),
    )
    model.init_weights()
    assert all((value == 0.5).all() for value in model.state_dict().values())


@pytest.mark.parametrize(
    ('address', 'message'),
    [
        ('hf://timm', 'is not of the form hf://ORG/NAME'),
        ('hf://timm/other', r'hf://timm/other could not be downloaded(.|\n)*init_cfg=None'),
        ('hf://timm/twins_tiny.in1k@v3', 'could not be downloaded'),
    ],
)
def test_unavailable_weights_are_reported(address, message, hub):
    with pytest.raises(UserError, match=message):
        read_checkpoint(address)


@pytest.fixture
def web(tmp_path, monkeypatch):
    """A folder, the address of its web server, and an empty cache."""
    monkeypatch.setattr('torch.hub.get_dir', lambda: str(tmp_path / 'cache'))
    (tmp_path / 'site').mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / 'site'))
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield tmp_path / 'site', f'http://127.0.0.1:{server.server_port}'
        server.shutdown()


def test_loads_from_the_web_once(web):
    site, address = web
    torch.save(dict(x=torch.ones(1)), site / 'weights.pth')
    for _ in range(2):
        loaded = read_checkpoint(f'{address}/weights.pth?download=1', 'cpu')
        assert loaded == dict(x=torch.ones(1))
        (site / 'weights.pth').unlink(missing_ok=True)


def test_files_with_the_same_name_are_distinguished(web):
    site, address = web
    for value, folder in enumerate('ab'):
        (site / folder).mkdir()
        torch.save(dict(x=torch.tensor(value)), site / folder / 'best.pth')
    for _ in range(2):
        for value, folder in enumerate('ab'):
            loaded = read_checkpoint(f'{address}/{folder}/best.pth', 'cpu')
            assert loaded['x'] == value


def test_what_torch_has_downloaded_is_not_downloaded_again(web):
    """On a node without a network, whose cache others filled."""
    cache = Path(torch.hub.get_dir(), 'checkpoints')
    cache.mkdir(parents=True)
    torch.save(dict(x=torch.ones(1)), cache / 'weights.pth')
    loaded = read_checkpoint('http://127.0.0.1:9/v1/weights.pth', 'cpu')
    assert loaded == dict(x=torch.ones(1))


@pytest.mark.skipif(
    not WEIGHTS_ONLY, reason='another version of a library: torch before 2.6 checks nothing'
)
def test_nothing_unsafe_comes_from_the_web(web):
    site, address = web
    torch.save(dict(x=Path()), site / 'weights.pth')
    with pytest.raises(UserError, match='was refused, and none of its code was run'):
        read_checkpoint(f'{address}/weights.pth')


def test_missing_page_is_reported(web):
    with pytest.raises(UserError, match=r'weights.pth could not be downloaded: HTTP Error 404'):
        read_checkpoint(f'{web[1]}/weights.pth')
