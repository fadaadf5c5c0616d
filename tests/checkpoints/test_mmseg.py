"""mmseg's own Twins and ours: the same weights, the same features, the same logits."""

import math
from pathlib import Path

import mmseg
import pytest
import torch
from mmengine.runner import load_checkpoint
from mmseg.apis import init_model

import twins_mm
from twins_mm.checkpoints import convert

OURS = Path(__file__).parents[2] / 'configs'
THEIRS = Path(mmseg.__file__).parent / '.mim/configs/twins'
both_families = pytest.mark.parametrize('family', ['pcpvt', 'svt'])


def build_theirs(family, arch, head='fpn'):
    """mmseg's segmentor, with random values in its whole state dict."""
    (path,) = THEIRS.glob(f'twins_{family}-{arch[0]}_{head}*')
    torch.manual_seed(0)
    model = init_model(path, device='cpu')
    for value in model.state_dict().values():
        if value.is_floating_point():
            value.add_(torch.randn_like(value) * 0.1)
    return model


def build_ours(family, arch, weights, numerics='mmseg', **kwargs):
    model = getattr(twins_mm, f'Twins{family.upper()}')(arch, numerics=numerics, **kwargs)
    model.load_state_dict(weights)
    return model.eval()


def difference(ours, theirs, size):
    """The largest relative difference of the levels; infinite if their shapes differ."""
    images = torch.randn(1, 3, *size, dtype=next(ours.parameters()).dtype)
    with torch.no_grad():
        pairs = list(zip(ours(images), theirs(images)))
    if any(our.shape != their.shape for our, their in pairs):
        return math.inf
    return torch.stack([(our - their).norm() / their.norm() for our, their in pairs]).max().item()


@pytest.mark.parametrize(
    'arch', ['small', *(pytest.param(arch, marks=pytest.mark.large) for arch in ('base', 'large'))]
)
@both_families
def test_features_are_the_same(family, arch):
    theirs = build_theirs(family, arch).backbone
    ours = build_ours(family, arch, theirs.state_dict())
    # SVT's windows fit the maps, are padded on both sides; in the last, patches are padded too.
    for size in [(224, 224), (512, 512), (512, 683)]:
        assert difference(ours, theirs, size) < 1e-5, size
    # Windows padded on one side; double precision, because rounding would hide a wrong epsilon.
    assert difference(ours.double(), theirs.double(), (224, 256)) < 1e-10


@pytest.mark.parametrize(('recipe', 'head'), [('semantic_fpn', 'fpn'), ('upernet', 'uperhead')])
@both_families
def test_logits_are_the_same(family, recipe, head, tmp_path):
    theirs = build_theirs(family, 'small', head)
    checkpoint = tmp_path / 'mmseg.pth'
    torch.save(dict(meta={}, state_dict=theirs.state_dict()), checkpoint)
    (path,) = OURS.glob(f'{recipe}_twins_{family}_s_*')
    ours = init_model(path, device='cpu', cfg_options={'model.backbone.numerics': 'mmseg'})
    load_checkpoint(ours, str(checkpoint), strict=True)
    assert difference(ours, theirs, (250, 342)) < 1e-5


def exchange_queries_and_keys(weights):
    for part in ('weight', 'bias'):
        q, kv = f'blocks.0.1.attn.q.{part}', f'blocks.0.1.attn.kv.{part}'
        k, v = weights[kv].chunk(2)
        weights[q], weights[kv] = k, torch.cat([weights[q], v])


def exchange_blocks(weights):
    for name in weights:
        if name.startswith('blocks.2.0.'):
            other = name.replace('blocks.2.0.', 'blocks.2.2.')
            weights[name], weights[other] = weights[other], weights[name]


# Controls: mistakes cause at least a hundred times the difference that passes above.
@pytest.mark.parametrize('mistake', [exchange_queries_and_keys, exchange_blocks])
@both_families
def test_wrong_map_is_detected(family, mistake):
    theirs = build_theirs(family, 'small').backbone
    weights = convert(theirs.state_dict(), to='twins_mm')
    mistake(weights)
    assert difference(build_ours(family, 'small', weights), theirs, (64, 96)) > 1e-3


# At 64 x 96, which every stride divides, the released numerics only differ in epsilon.
@pytest.mark.parametrize(
    ('family', 'kwargs', 'size'),
    [
        *(
            (family, dict(numerics='released'), size)
            for family in ('pcpvt', 'svt')
            for size in [(64, 96), (512, 683)]
        ),
        ('svt', dict(window_padding='mask'), (224, 256)),
    ],
)
def test_other_numerics_are_detected(family, kwargs, size):
    theirs = build_theirs(family, 'small').backbone
    ours = build_ours(family, 'small', theirs.state_dict(), **kwargs)
    assert difference(ours.double(), theirs.double(), size) > 1e-6
