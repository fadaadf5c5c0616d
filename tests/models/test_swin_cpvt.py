"""Swin with conditional position encodings against a plain form, and its weights."""

import copy

import pytest
import torch
from mmdet.models.backbones.swin import SwinTransformer
from mmengine.registry import MODELS, DefaultScope
from torch.nn import functional as F

from twins_mm.errors import UserError
from twins_mm.models.swin_cpvt import SwinCPVT

TINY = dict(
    embed_dims=8, depths=(2, 3), num_heads=(1, 2), strides=(4, 2), out_indices=(0, 1), window_size=3
)


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = MODELS.build(dict(type='SwinCPVT', **TINY))
    model.init_weights()
    for value in model.parameters():
        if value.ndim == 1:  # biases and norms at their initial values hide mistakes
            torch.nn.init.normal_(value, std=0.5)
    model.eval()
    return model


@pytest.fixture
def swin_file(tmp_path):
    """The weights of a Swin of the same size, with the names and the form of Swin's authors."""
    torch.manual_seed(1)
    weights = SwinTransformer(**TINY).state_dict()
    for value in weights.values():
        if value.is_floating_point():
            torch.nn.init.normal_(value)
    released = {}
    for name, value in weights.items():
        if name.startswith('norm'):
            continue
        for theirs, ours in (
            ('layers', 'stages'),
            ('attn', 'attn.w_msa'),
            ('mlp.fc1', 'ffn.layers.0.0'),
            ('mlp.fc2', 'ffn.layers.1'),
            ('proj', 'projection'),
        ):
            name = name.replace(f'{ours}.', f'{theirs}.')
        released[name] = value
    released['norm.weight'] = torch.ones(16)
    path = tmp_path / 'swin.pth'
    torch.save(dict(model=released), path)
    return path, weights


def run_plainly(model, images, window=3):
    """Each token attends to those of its group, in one product over the whole padded map.

    In every other block, the windows' grid starts at half a window instead of 0.
    """
    w = model.state_dict()

    def linear(x, name):
        return F.linear(x, w[f'{name}.weight'], w[f'{name}.bias'])

    def norm(x, name):
        return F.layer_norm(x, x.shape[-1:], w[f'{name}.weight'], w[f'{name}.bias'])

    def attend(x, name, heads, shift):
        height, width, dim = x.shape[1:]
        x = F.pad(x, (0, 0, 0, -width % window, 0, -height % window))
        rows, columns = torch.meshgrid(
            *((torch.arange(side) - shift) // window for side in x.shape[1:3]), indexing='ij'
        )
        groups = (100 * rows + columns).flatten()
        out = torch.empty_like(x)
        for image, tokens in enumerate(linear(x, f'{name}.qkv').flatten(1, 2)):
            q, k, v = tokens.split(dim, -1)
            for head in range(heads):
                part = slice(head * dim // heads, (head + 1) * dim // heads)
                logits = q[:, part] @ k[:, part].T * (dim // heads) ** -0.5
                logits[groups[:, None] != groups] = -torch.inf
                out[image].view(-1, dim)[:, part] = logits.softmax(-1) @ v[:, part]
        return linear(out, f'{name}.proj')[:, :height, :width]

    x = F.conv2d(
        images, w['patch_embed.projection.weight'], w['patch_embed.projection.bias'], stride=4
    ).permute(0, 2, 3, 1)
    x, pyramid = norm(x, 'patch_embed.norm'), []
    for stage, (depth, heads) in enumerate(zip(TINY['depths'], TINY['num_heads'])):
        if stage:
            name = 'stages.0.downsample'
            patches = F.unfold(x.permute(0, 3, 1, 2), 2, stride=2).transpose(1, 2)
            patches = patches.unflatten(1, (x.shape[1] // 2, x.shape[2] // 2))
            x = norm(patches, f'{name}.norm') @ w[f'{name}.reduction.weight'].T
        for index in range(depth):
            name = f'stages.{stage}.blocks.{index}'
            x = x + attend(
                norm(x, f'{name}.norm1'),
                f'{name}.attn.w_msa',
                heads,
                shift=index % 2 * (window // 2),
            )
            hidden = F.gelu(linear(norm(x, f'{name}.norm2'), f'{name}.ffn.layers.0.0'))
            x = x + linear(hidden, f'{name}.ffn.layers.1')
            if index == 0:
                name = f'{name}.pos_block.proj.0'
                x = x + F.conv2d(
                    x.permute(0, 3, 1, 2),
                    w[f'{name}.weight'],
                    w[f'{name}.bias'],
                    padding=1,
                    groups=x.shape[-1],
                ).permute(0, 2, 3, 1)
        pyramid.append(norm(x, f'norm{stage}').permute(0, 3, 1, 2))
    return pyramid


@pytest.mark.parametrize('copied', [False, True], ids=['built', 'copied'])
@pytest.mark.parametrize('size', [(48, 72), (56, 40)], ids=['windows fit', 'windows are padded'])
@torch.no_grad()
def test_equals_the_plain_form(size, copied, model):
    """A copy, such as EMA's, runs with its own position encodings."""
    images = torch.randn(2, 3, *size)
    if copied:
        original, model = model, copy.deepcopy(model)
        for parameter in original.parameters():
            parameter.zero_()
    levels = model(images)
    assert isinstance(levels, tuple)
    for level, plain in zip(levels, run_plainly(model, images), strict=True):
        assert level.is_contiguous()
        torch.testing.assert_close(level, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('scope', ['mmdet', 'mmseg'])
def test_is_found_by_name_in_both_libraries(scope):
    with DefaultScope.overwrite_default_scope(scope):
        model = MODELS.build(dict(type='SwinCPVT', **TINY))
    assert type(model) is SwinCPVT
    assert not any('relative_position' in name for name in model.state_dict())


def test_all_parameters_get_a_gradient(model):
    model.train()
    sum((level**2).sum() for level in model(torch.randn(1, 3, 48, 72))).backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in model.parameters())


def test_frozen_stages_freeze_their_position_encodings():
    model = SwinCPVT(**TINY, frozen_stages=1)
    model.train()
    trained = {name for name, value in model.named_parameters() if value.requires_grad}
    assert {name for name in trained if 'pos_block' in name} == {
        f'stages.1.blocks.0.pos_block.proj.0.{kind}' for kind in ('weight', 'bias')
    }


def test_swins_weights_load_except_their_bias_tables(swin_file, monkeypatch):
    lines = []
    monkeypatch.setattr(
        'twins_mm.models.swin_cpvt.print_log', lambda line, logger: lines.append(line)
    )
    path, weights = swin_file
    model = SwinCPVT(
        **TINY, convert_weights=True, init_cfg=dict(type='Pretrained', checkpoint=str(path))
    )
    model.init_weights()
    ours = model.state_dict()
    assert weights.keys() - ours == {
        f'stages.{stage}.blocks.{block}.attn.w_msa.relative_position_{kind}'
        for stage, depth in enumerate(TINY['depths'])
        for block in range(depth)
        for kind in ('bias_table', 'index')
    }
    shared = {name for name in weights.keys() & ours if not name.startswith('norm')}
    # Swin's authors order the four tokens that are merged differently; the rest is as it was.
    for name in shared:
        if 'downsample' in name:
            assert torch.equal(ours[name].flatten().sort()[0], weights[name].flatten().sort()[0])
        else:
            assert torch.equal(ours[name], weights[name]), name
    assert lines == [
        'Swin weights: 5 tables of relative position bias left out, position '
        'encodings newly initialised'
    ]


def test_own_weights_load_whole(model, tmp_path, monkeypatch):
    """Of a classifier, say, which has no norms after the other stages."""
    monkeypatch.setattr('twins_mm.models.swin_cpvt.print_log', pytest.fail)
    weights = {
        f'backbone.{name}': value
        for name, value in model.state_dict().items()
        if not name.startswith('norm0')
    }
    torch.save(dict(state_dict=weights), tmp_path / 'own.pth')
    detectors = SwinCPVT(
        **TINY, init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'own.pth'))
    )
    detectors.init_weights()
    for name, value in detectors.state_dict().items():
        assert name.startswith('norm0') or torch.equal(value, model.state_dict()[name]), name


def test_weights_of_another_size_are_refused_whole(swin_file):
    path, _ = swin_file
    model = SwinCPVT(
        **{**TINY, 'depths': (2, 4)},
        convert_weights=True,
        init_cfg=dict(type='Pretrained', checkpoint=str(path)),
    )
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(UserError, match=r'none were loaded: 12 missing, such as stages\.1'):
        model.init_weights()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
