import copy
import logging

import pytest
import torch
from checkpoints.classifiers import with_classifier
from mmengine.logging import MMLogger
from mmengine.runner import load_checkpoint, load_state_dict
from torch import nn

from twins_mm import TwinsPCPVT, TwinsSVT
from twins_mm.benchmark.plain_twins import TINY_ARCHS
from twins_mm.checkpoints import convert
from twins_mm.errors import UserError

FAMILIES = dict(PCPVT=TwinsPCPVT, SVT=TwinsSVT)
LAYOUTS = ('twins_mm', 'mmseg', 'mmpretrain')


def build(family='SVT', **kwargs):
    return FAMILIES[family](**dict(dict(arch=TINY_ARCHS[f'Twins{family}']), **kwargs))


def random_weights(model):
    return {name: torch.rand_like(value) for name, value in model.state_dict().items()}


def classifier_weights(family='SVT'):
    """What ImageNet's classifiers have: no norms after stages, a final norm, a head."""
    return with_classifier(random_weights(build(family, norm_after_stage=False)), 32)


class Segmentor(nn.Module):
    """A model with a backbone and a head."""

    def __init__(self, **kwargs):
        super().__init__()
        self.backbone = build(**kwargs)
        self.decode_head = nn.Linear(2, 2)


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


@pytest.mark.parametrize('wrap', [
    lambda weights: weights, lambda weights: dict(model=weights),
    lambda weights: dict(state_dict=weights, meta=dict(epoch=1)),
    lambda weights: {f'module.{name}': value for name, value in weights.items()}],
    ids=['flat', 'model', 'state_dict', 'module.'])
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
    norms = ', stage norms start fresh' * (family == 'SVT')
    said = [line for line in log if 'weights: ' in line]
    assert len(said) == 1
    assert said[0].endswith(f'weights: {layout}classifier left out{norms}')
    assert not any('not match' in line for line in log)


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('family', FAMILIES)
def test_whole_model_takes_every_layout(family, layout, tmp_path, log):
    source, target = Segmentor(family=family), Segmentor(family=family, numerics='mmseg')
    torch.save(dict(state_dict=convert(source.state_dict(), layout)), tmp_path / 'model.pth')
    load_checkpoint(target, str(tmp_path / 'model.pth'), strict=True)
    for name, value in source.state_dict().items():
        assert torch.equal(target.state_dict()[name], value), name
    assert sum('weights: ' in line for line in log) == (layout != 'twins_mm')


@pytest.mark.parametrize(('layout', 'numerics', 'hint'), [
    ('mmseg', 'released', True), ('mmseg', 'mmseg', False), ('twins_mm', 'released', False)])
def test_numerics_of_the_weights_are_told(layout, numerics, hint, log):
    weights = convert(Segmentor().state_dict(), layout)
    model = Segmentor(numerics=numerics)
    model.load_state_dict(weights)
    assert any("numerics='mmseg'" in line for line in log) == hint


def test_classifier_of_the_authors_detectors_is_left_out():
    weights = Segmentor().state_dict()
    weights |= {f'backbone.{name}': value for name, value in classifier_weights().items()
                if name.startswith(('norm.', 'head.'))}
    Segmentor().load_state_dict(weights)


def test_backbone_starts_from_a_segmentor(log):
    source, model = Segmentor(), build()
    model.load_state_dict(source.state_dict())
    assert any(line.endswith('weights: heads left out') for line in log)
    for name, value in source.backbone.state_dict().items():
        assert torch.equal(model.state_dict()[name], value)


def test_later_stages_are_left_out(log):
    source, model = build(), build(out_indices=(0, 1))
    model.load_state_dict(source.state_dict())
    assert any(line.endswith('stages after stage 2 left out') for line in log)
    for name, value in model.state_dict().items():
        assert torch.equal(source.state_dict()[name], value)


def test_own_weights_load_without_a_word(log):
    build().load_state_dict(build().state_dict())
    assert log == []


def test_copies_check_themselves_too():
    with pytest.raises(UserError):
        copy.deepcopy(build()).load_state_dict(dict(x=torch.rand(1)))


def without(weights, *beginnings):
    return {name: value for name, value in weights.items() if not name.startswith(beginnings)}


def reshaped(weights):
    return weights | {'pos_block.0.proj.0.bias': torch.rand(9)}


@pytest.mark.parametrize(('make', 'kwargs', 'message'), [
    (lambda: build('SVT', arch='base'), dict(arch='small'),
     'these are Twins-SVT-B weights; the config builds Twins-SVT-S'),
    (lambda: build('PCPVT', arch='small'), dict(arch='small'),
     'these are Twins-PCPVT-S weights; the config builds Twins-SVT-S'),
    (lambda: build('PCPVT', arch='large'), dict(family='PCPVT', arch='base'),
     'these are Twins-PCPVT-L weights; the config builds Twins-PCPVT-B'),
    (build, dict(arch='small'),
     r'these are Twins-SVT of 2, 2, 3, 2 blocks with 8, 16, 24, 32 channels weights'),
    (build, dict(norm_after_stage=False),
     'they have norms after stages; pass norm_after_stage=True to the backbone'),
    (lambda: without(random_weights(build()), 'blocks.1.0.mlp.fc1', 'norm_list.2'), dict(),
     '4 missing, such as blocks.1.0.mlp.fc1.bias'),
    (lambda: random_weights(build()) | dict(more=torch.rand(1)), dict(),
     '1 unknown, such as more'),
    (lambda: reshaped(random_weights(build())), dict(),
     r'1 of another shape, such as pos_block.0.proj.0.bias, \(9,\) for \(8,\)'),
    (lambda: dict(conv1=torch.rand(1)), dict(), 'There is no Twins backbone in it, but conv1'),
])
def test_what_does_not_fit_is_refused_with_the_reason(make, kwargs, message, tmp_path):
    made = make()
    torch.save(made if isinstance(made, dict) else made.state_dict(), tmp_path / 'model.pth')
    model = build(**kwargs, init_cfg=dict(
        type='Pretrained', checkpoint=str(tmp_path / 'model.pth')))
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(UserError, match=message):
        model.init_weights()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(('weights', 'message'), [
    (lambda: Segmentor(norm_after_stage=False).state_dict(),
     'they have no norms after stages; pass norm_after_stage=False'),
    (classifier_weights, "nothing for the model's backbone(.|\n)*init_cfg.checkpoint=FILE")])
def test_model_with_heads_is_not_half_loaded(weights, message):
    model = Segmentor()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(UserError, match=message):
        load_state_dict(model, weights())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
