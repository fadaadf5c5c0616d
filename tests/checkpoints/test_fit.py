import copy
import logging

import pytest
import torch
from checkpoints.classifiers import stvit_file, with_classifier
from mmengine.logging import MMLogger
from mmengine.runner import load_checkpoint
from tiny_archs import TINY_ARCHS, tiny_arch
from torch import nn

from twins_mm import STViT, TwinsPCPVT, TwinsSVT
from twins_mm.checkpoints import convert
from twins_mm.checkpoints.fit import fit_backbone, fit_model
from twins_mm.errors import UserError
from twins_mm.models.published_weights import name_classifier

FAMILIES = dict(PCPVT=TwinsPCPVT, SVT=TwinsSVT)
LAYOUTS = ('twins_mm', 'mmseg', 'mmpretrain')


def build(family='SVT', **kwargs):
    return FAMILIES[family](**dict(dict(arch=TINY_ARCHS[f'Twins{family}']), **kwargs))


def random_weights(model):
    return {name: torch.rand_like(value) for name, value in model.state_dict().items()}


def classifier_weights(family='SVT'):
    """An ImageNet classifier's weights: no norms after stages, a final norm, a head."""
    return with_classifier(random_weights(build(family, norm_after_stage=False)), 32)


class Segmentor(nn.Module):
    """A model with a backbone and a head."""

    def __init__(self, **kwargs):
        super().__init__()
        self.backbone = build(**kwargs)
        self.decode_head = nn.Linear(2, 2)


def assert_same(weights, expected):
    assert weights.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(weights[name], value), name


@pytest.fixture
def log():
    """The lines that mmengine logs while a test runs."""
    lines = []

    class Handler(logging.Handler):
        def emit(self, record):
            lines.append(record.getMessage())

    logger = MMLogger.get_current_instance()
    logger.addHandler(handler := Handler())
    yield lines
    logger.removeHandler(handler)


@pytest.mark.parametrize(
    'wrap',
    [
        lambda weights: weights,
        lambda weights: dict(model=weights),
        lambda weights: dict(state_dict=weights, meta=dict(epoch=1)),
        lambda weights: {f'module.{name}': value for name, value in weights.items()},
    ],
    ids=['flat', 'model', 'state_dict', 'module.'],
)
@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('family', FAMILIES)
def test_backbone_starts_from_a_classifier(family, layout, wrap, tmp_path, log):
    weights = classifier_weights(family)
    path = tmp_path / 'classifier.pth'
    torch.save(wrap(convert(weights, layout)), path)
    model = build(family, init_cfg=dict(type='Pretrained', checkpoint=str(path)))
    model.init_weights()
    for name, value in model.state_dict().items():
        expected = weights.get(name, torch.full_like(value, float(name.endswith('weight'))))
        assert torch.equal(value, expected), name
    layout = '' if layout == 'twins_mm' else f"{layout}'s layout, "
    norms = ', stage norms newly initialised' * (family == 'SVT')
    notes = [line for line in log if 'weights: ' in line]
    assert len(notes) == 1
    assert notes[0].endswith(f'weights: {layout}classifier left out{norms}')
    assert not any('not match' in line for line in log)


@pytest.mark.parametrize('family', FAMILIES)
def test_backbone_starts_from_our_own_classifier(family, tmp_path, log):
    weights = classifier_weights(family)
    torch.save(
        dict(state_dict=name_classifier(weights, TwinsSVT.layouts)), tmp_path / 'classifier.pth'
    )
    model = build(
        family, init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'classifier.pth'))
    )
    model.init_weights()
    for name, value in model.state_dict().items():
        expected = weights.get(name, torch.full_like(value, float(name.endswith('weight'))))
        assert torch.equal(value, expected), name
    norms = ', stage norms newly initialised' * (family == 'SVT')
    assert sum(line.endswith(f'weights: classifier left out{norms}') for line in log) == 1


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('family', FAMILIES)
def test_whole_model_takes_every_layout(family, layout, tmp_path, log):
    source, target = Segmentor(family=family), Segmentor(family=family, numerics='mmseg')
    torch.save(dict(state_dict=convert(source.state_dict(), layout)), tmp_path / 'model.pth')
    load_checkpoint(target, str(tmp_path / 'model.pth'), strict=True)
    for name, value in source.state_dict().items():
        assert torch.equal(target.state_dict()[name], value), name
    assert log == [f"The backbone's weights are in {layout}'s layout"] * (layout != 'twins_mm')


@pytest.mark.parametrize(
    ('layout', 'numerics', 'hint'),
    [('mmseg', 'released', True), ('mmseg', 'mmseg', False), ('twins_mm', 'released', False)],
)
def test_numerics_of_the_weights_are_logged(layout, numerics, hint, log):
    fit_model(convert(Segmentor().state_dict(), layout), Segmentor(numerics=numerics))
    assert any("numerics='mmseg'" in line for line in log) == hint


def test_classifier_of_the_authors_detectors_is_left_out():
    weights = Segmentor().state_dict()
    weights |= {
        f'backbone.{name}': value
        for name, value in classifier_weights().items()
        if name.startswith(('norm.', 'head.'))
    }
    Segmentor().load_state_dict(fit_model(weights, Segmentor(), heads=True))


def test_backbone_starts_from_a_segmentor(log):
    source = Segmentor()
    fitted = fit_backbone(source.state_dict(), build())
    assert log[-1].endswith('weights: heads left out')
    assert_same(fitted, source.backbone.state_dict())


@pytest.mark.parametrize('make', [build, Segmentor])
def test_later_stages_are_left_out(make, log):
    model, weights = make(out_indices=(0, 1)), make().state_dict()
    fitted = fit_model(weights, model)
    assert log[-1].endswith('stages after stage 2 left out')
    assert_same(fitted, {name: weights[name] for name in model.state_dict()})


# Channels cycle through red, green and blue, scaled by 3 / channels. One channel takes their sum.
@pytest.mark.parametrize(
    ('channels', 'order'), [(1, None), (2, [0, 1]), (4, [0, 1, 2, 0]), (6, [0, 1, 2, 0, 1, 2])]
)
def test_first_convolution_is_adapted_to_the_channels(channels, order, tmp_path, log):
    rgb, name = build(), 'patch_embeds.0.proj.weight'
    torch.save(convert(rgb.state_dict(), 'mmseg'), tmp_path / 'rgb.pth')
    model = build(
        in_channels=channels, init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'rgb.pth'))
    )
    model.init_weights()
    weights, loaded = rgb.state_dict(), model.state_dict()
    weight = weights.pop(name)
    expected = weight[:, order] * 3 / channels if order else weight.sum(1, keepdim=True)
    torch.testing.assert_close(loaded.pop(name), expected)
    assert all(torch.equal(loaded[key], value) for key, value in weights.items())
    assert (
        sum(f'first convolution adapted from 3 channels to {channels}' in line for line in log) == 1
    )
    if channels in (1, 6):  # for grey images, outputs stay the same
        gray = torch.rand(1, 1, 64, 64)
        for actual, wanted in zip(
            model.eval()(gray.expand(1, channels, 64, 64)), rgb.eval()(gray.expand(1, 3, 64, 64))
        ):
            torch.testing.assert_close(actual, wanted)


@pytest.mark.parametrize(
    ('make', 'source', 'target'),
    [(build, 4, 3), (build, 4, 6), (Segmentor, 3, 4)],
    ids=['to RGB', 'neither RGB', 'whole model'],
)
def test_other_channels_are_refused(make, source, target):
    weights = make(in_channels=source).state_dict()
    with pytest.raises(UserError, match='1 of different shape, such as patch_embeds.0.proj.weight'):
        fit_model(weights, make(in_channels=target))


@pytest.mark.parametrize(('make', 'prefix'), [(build, ''), (Segmentor, 'backbone.')])
@pytest.mark.parametrize('layout', LAYOUTS)
def test_part_is_loaded_if_not_strict(layout, make, prefix):
    source, model = make(), make()
    left_out = [f'{prefix}{name}' for name in ('norm_list.3.weight', 'blocks.2.0.mlp.fc1.bias')]
    given = source.state_dict()
    for name in left_out:
        del given[name]
    before = copy.deepcopy(model.state_dict())
    given = convert(given, layout) | {f'{prefix}more': torch.rand(1)}
    done = model.load_state_dict(given, strict=False)
    assert (sorted(done.missing_keys), done.unexpected_keys) == (
        sorted(left_out),
        [f'{prefix}more'],
    )
    for name, value in model.state_dict().items():
        expected = before if name in left_out else source.state_dict()
        assert torch.equal(value, expected[name]), name


def test_part_without_a_backbone_is_loaded():
    source, model = Segmentor(), Segmentor()
    before = copy.deepcopy(model.backbone.state_dict())
    heads = {name: value for name, value in source.state_dict().items() if 'head' in name}
    done = model.load_state_dict(heads, strict=False)
    assert {f'backbone.{name}' for name in before} == set(done.missing_keys)
    assert done.unexpected_keys == []
    assert torch.equal(model.decode_head.weight, source.decode_head.weight)
    assert all(
        torch.equal(value, before[name]) for name, value in model.backbone.state_dict().items()
    )


def test_part_of_a_stage_is_loaded():
    """Too few weights to recognise the layout."""
    model, weight = build(), torch.rand(8)
    done = model.load_state_dict({'pos_block.0.proj.0.bias': weight}, strict=False)
    assert len(done.missing_keys) == len(model.state_dict()) - 1
    assert torch.equal(model.pos_block[0].proj[0].bias, weight)


def test_unused_heads_are_returned_if_not_strict():
    done = build().load_state_dict(Segmentor().state_dict(), strict=False)
    assert done.missing_keys == []
    assert set(done.unexpected_keys) == {'decode_head.weight', 'decode_head.bias'}


def test_part_of_other_shapes_is_refused_by_torch():
    with pytest.raises(RuntimeError, match='size mismatch for blocks.0.0'):
        build().load_state_dict(build(arch='small').state_dict(), strict=False)


def test_part_is_refused_by_torch_if_strict_and_by_the_check():
    model, weights = Segmentor(), Segmentor().state_dict()
    del weights['backbone.blocks.2.0.mlp.fc1.bias']
    with pytest.raises(RuntimeError, match='Missing key.*backbone.blocks.2.0.mlp.fc1.bias'):
        model.load_state_dict(weights)
    with pytest.raises(UserError, match='1 missing, such as blocks.2.0.mlp.fc1.bias'):
        fit_model(weights, model)


def test_own_weights_load_silently(log):
    weights = build().state_dict()
    build().load_state_dict(fit_backbone(weights, build()))
    assert log == []


@pytest.mark.parametrize('prefix', ['backbone', 'backbone.'])
def test_list_of_initialisations_with_a_prefix(prefix, tmp_path):
    """The file goes last, wherever it stands; and the config is as it was."""
    source = Segmentor()
    torch.save(dict(state_dict=source.state_dict()), tmp_path / 'model.pth')
    init_cfg = [
        dict(type='Pretrained', checkpoint=str(tmp_path / 'model.pth'), prefix=prefix),
        dict(type='Constant', layer='Linear', val=3.0),
    ]
    model = build(init_cfg=init_cfg)
    model.init_weights()
    assert_same(model.state_dict(), source.backbone.state_dict())
    assert model.init_cfg == init_cfg


def test_second_initialisation_changes_nothing(tmp_path):
    torch.save(build().state_dict(), tmp_path / 'model.pth')
    model = build(init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'model.pth')))
    model.init_weights()
    nn.init.zeros_(model.pos_block[0].proj[0].weight)
    model.init_weights()
    assert not model.pos_block[0].proj[0].weight.any()


def without(weights, *prefixes):
    return {name: value for name, value in weights.items() if not name.startswith(prefixes)}


def reshaped(weights):
    return weights | {'pos_block.0.proj.0.bias': torch.rand(9)}


@pytest.mark.parametrize(
    ('make', 'kwargs', 'message'),
    [
        (
            lambda: build('SVT', arch='base'),
            dict(arch='small'),
            'these are Twins-SVT-B weights; the config builds Twins-SVT-S',
        ),
        (
            lambda: build('PCPVT', arch='small'),
            dict(arch='small'),
            'these are Twins-PCPVT-S weights; the config builds Twins-SVT-S',
        ),
        (
            lambda: build('PCPVT', arch='large'),
            dict(family='PCPVT', arch='base'),
            'these are Twins-PCPVT-L weights; the config builds Twins-PCPVT-B',
        ),
        (
            build,
            dict(arch='small'),
            r'these are Twins-SVT with 2, 2, 3, 2 blocks and 8, 16, 24, 32 channels weights',
        ),
        (
            lambda: build(arch='small', sub_sampling='average_pooling'),
            dict(arch='small'),
            'these are Twins-SVT-S_average_pooling weights; the config builds Twins-SVT-S',
        ),
        (
            lambda: build(arch=tiny_arch('LLLG')),
            dict(),
            'these are Twins with LL, LL, LLL, GG blocks and .* builds Twins-SVT with 2, 2, 3, 2',
        ),
        (
            build,
            dict(norm_after_stage=False),
            'they have norms after stages; pass norm_after_stage=True to the backbone',
        ),
        (
            lambda: without(random_weights(build()), 'blocks.1.0.mlp.fc1', 'norm_list.2'),
            dict(),
            '4 missing, such as blocks.1.0.mlp.fc1.bias',
        ),
        (
            lambda: random_weights(build()) | dict(more=torch.rand(1)),
            dict(),
            '1 unexpected, such as more',
        ),
        (
            lambda: reshaped(random_weights(build())),
            dict(),
            r'1 of different shape, such as pos_block.0.proj.0.bias, \(9,\) instead of \(8,\)',
        ),
        (
            lambda: dict(conv1=torch.rand(1)),
            dict(),
            'No Twins or STViT backbone found; the weights are of conv1',
        ),
    ],
)
def test_mismatch_is_refused_with_the_reason(make, kwargs, message, tmp_path):
    made = make()
    torch.save(made if isinstance(made, dict) else made.state_dict(), tmp_path / 'model.pth')
    model = build(
        **kwargs, init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'model.pth'))
    )
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(UserError, match=message):
        model.init_weights()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ('kwargs', 'notes'),
    [
        ({}, 'classifier left out'),
        (dict(out_indices=(0, 1)), 'classifier left out, stages after stage 2 left out'),
        (
            dict(in_channels=1),
            'first convolution adapted from 3 channels to 1, classifier left out',
        ),
    ],
)
def test_stvit_starts_from_a_published_file(kwargs, notes, tmp_path, log):
    weights = stvit_file()
    torch.save(dict(model=weights, epoch=299), tmp_path / 'stvit.pth')
    model = STViT(
        TINY_ARCHS['STViT'],
        **kwargs,
        init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'stvit.pth')),
    )
    model.init_weights()
    if 'in_channels' in kwargs:
        first = weights['patch_embed.proj.0.weight']
        weights['patch_embed.proj.0.weight'] = first.sum(1, keepdim=True)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, weights[name].to(value.dtype))
    (line,) = (line for line in log if 'weights: ' in line)
    assert line.startswith('STViT with 2, 2') and line.endswith(f' weights: {notes}')
    assert not any('not match' in line for line in log)


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: STViT('base'), 'these are STViT-B weights; the config builds STViT-S'),
        (lambda: TwinsSVT('small'), 'these are Twins-SVT-S weights; the config builds STViT-S'),
    ],
)
def test_stvit_refuses_other_weights(make, message):
    with pytest.raises(UserError, match=message):
        fit_backbone(make().state_dict(), STViT('small'))


@pytest.mark.parametrize(
    ('weights', 'message'),
    [
        (
            lambda: Segmentor(norm_after_stage=False).state_dict(),
            'they have no norms after stages; pass norm_after_stage=False',
        ),
        (classifier_weights, "no weights for the model's backbone(.|\n)*init_cfg.checkpoint=FILE"),
    ],
)
def test_backbone_in_a_model_must_fit(weights, message):
    with pytest.raises(UserError, match=message):
        fit_model(weights(), Segmentor())
