"""What every registered backbone keeps to, one body for all and a line for each."""

import copy
import inspect
import math
import pickle
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from mmengine.registry import MODELS
from tiny_archs import TINY_ARCHS, tiny_arch
from torch import nn

import twins_mm
from twins_mm.models.attention import SUB_SAMPLINGS, WINDOW_PADDINGS


class Contract(NamedTuple):
    """A backbone's line.

    Attributes:
        smallest: The side of the smallest image.
        round: How sides are divided by strides.
        is_ours: Else all but a few modules are mmdet's or mmseg's, whose graphs are their matter.
    """

    config: dict
    smallest: int = 32
    round: Callable[[float], int] = math.floor
    is_ours: bool = True


SVT = dict(type='TwinsSVT', arch=TINY_ARCHS['TwinsSVT'])
CONTRACTS = dict(
    pcpvt=Contract(dict(type='TwinsPCPVT', arch=TINY_ARCHS['TwinsPCPVT'])),
    stvit=Contract(dict(type='STViT', arch=TINY_ARCHS['STViT']), 1, math.ceil),
    **{
        f'svt_{padding}': Contract(dict(SVT, window_padding=padding)) for padding in WINDOW_PADDINGS
    },
    **{f'svt_{kind}': Contract(dict(SVT, sub_sampling=kind)) for kind in [*SUB_SAMPLINGS][1:]},
    svt_mmseg=Contract(dict(SVT, numerics='mmseg'), round=math.ceil),
    svt_patterns=Contract(dict(type='TwinsSVT', arch=tiny_arch(('G', 'LG', 'GGL', 'LLG')))),
    swin_cpvt=Contract(
        dict(
            type='SwinCPVT',
            embed_dims=8,
            depths=(2, 2, 2, 2),
            num_heads=(1, 2, 4, 8),
            window_size=4,
            drop_path_rate=0.0,
        ),
        1,
        math.ceil,
        is_ours=False,
    ),
    resnet=Contract(dict(type='DeepStemResNet', depth=18), 1, math.ceil, is_ours=False),
)
every_backbone = pytest.mark.parametrize('contract', CONTRACTS.values(), ids=CONTRACTS)
every_one_of_ours = pytest.mark.parametrize(
    'contract',
    [contract for contract in CONTRACTS.values() if contract.is_ours],
    ids=[name for name, contract in CONTRACTS.items() if contract.is_ours],
)


def build(contract, training=False, **kwargs):
    torch.manual_seed(0)
    model = MODELS.build({**contract.config, **kwargs})
    if contract.is_ours:  # as its weights start, attention hardly changes a map
        for value in model.parameters():
            value.data += 0.05 * torch.randn_like(value)
    model.train(training)  # mmdet's and mmseg's return None
    return model


def assert_same(levels, expected, **tolerance):
    assert len(levels) == len(expected)
    for level, other in zip(levels, expected):
        torch.testing.assert_close(level, other, **tolerance)


def list_sizes(contract):
    """Both sides odd, none that a window or a stride divides, and the smallest."""
    return (contract.smallest,) * 2, (contract.smallest, 101), (75, 50), (112, 112)


def test_every_backbone_has_a_line():
    ours = {
        name
        for name, kind in MODELS.module_dict.items()
        if kind.__module__.startswith(twins_mm.__name__) and not name.endswith('Pooling')
    }
    assert ours == {contract.config['type'] for contract in CONTRACTS.values()}


@every_one_of_ours
def test_arguments_are_spelled_out(contract):
    kind = MODELS.get(contract.config['type'])
    parameters = inspect.signature(kind).parameters.values()
    assert not [each.name for each in parameters if each.kind is each.VAR_KEYWORD]
    with pytest.raises(TypeError, match=rf'{kind.__name__}\.__init__\(\) got an unexpected'):
        kind(windiow_sizes=7)


@pytest.mark.parametrize(
    'kwargs',
    [{}, dict(with_cp=True), dict(frozen_stages=1), dict(frozen_stages=1, with_cp=True)],
    ids=['plain', 'with_cp', 'frozen', 'both'],
)
@every_backbone
def test_every_trained_parameter_gets_a_gradient(contract, kwargs):
    if 'Stem' not in contract.config['type']:
        kwargs = dict(kwargs, drop_path_rate=0.0)
    model = build(contract, training=True, **kwargs)
    sum(level.square().mean() for level in model(torch.randn(2, 3, 70, 96))).backward()
    frozen = {name for name, value in model.named_parameters() if not value.requires_grad}
    assert bool(frozen) == ('frozen_stages' in kwargs)
    for name, value in model.named_parameters():
        assert (
            (value.grad is None)
            if name in frozen
            else (value.grad.isfinite().all() and value.grad.any())
        ), name
    for name, module in model.named_modules():
        own = {f'{name}.{key}' for key, _ in module.named_parameters(recurse=False)}
        assert not (own and own <= frozen and module.training), name


@pytest.mark.parametrize('out_indices', [(0, 1, 2, 3), (1, 2, 3), (0, 2), (1,)])
@every_backbone
def test_pyramid_of_any_size(contract, out_indices):
    """Contiguous maps at strides 4 to 32, whatever the memory format and the batch."""
    model = build(contract, out_indices=out_indices)
    for height, width in list_sizes(contract):
        images = torch.randn(2, 3, height, width)
        with torch.no_grad():
            levels = model(images)
            assert_same(model(images.contiguous(memory_format=torch.channels_last)), levels)
            assert_same(model(images[:1]), [level[:1] for level in levels], rtol=1e-4, atol=1e-5)
        assert [tuple(level.shape[2:]) for level in levels] == [
            (contract.round(height / stride), contract.round(width / stride))
            for stride in (4 * 2**index for index in out_indices)
        ]
        assert all(level.is_contiguous() and level.dtype == torch.float32 for level in levels)
        if contract.is_ours:
            assert tuple(level.shape[1] for level in levels) == model.out_channels


@every_one_of_ours
def test_smaller_images_are_refused(contract):
    if contract.smallest > 1:
        with pytest.raises(ValueError, match=f'pass at least {contract.smallest}'):
            build(contract)(torch.rand(1, 3, 64, contract.smallest - 1))


@pytest.mark.parametrize(
    'duplicate',
    [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))],
    ids=['deepcopy', 'pickle'],
)
@every_backbone
def test_copies_are_alike_and_independent(contract, duplicate):
    model, images = build(contract), torch.randn(1, 3, 75, 96)
    other = duplicate(model)
    with torch.no_grad():
        expected = model(images)
        for parameter in model.parameters():
            parameter.zero_()
        assert_same(other(images), expected)


@pytest.mark.parametrize(
    ('dtype', 'limit'),
    [
        (torch.bfloat16, 0.03),
        pytest.param(
            torch.float16,
            0.005,
            marks=pytest.mark.skipif(
                torch.__version__ < '2.3',
                reason='another version of a library: float16 autocast on a CPU needs torch 2.3',
            ),
        ),
    ],
)
@every_backbone
def test_mixed_precision_stays_near_float32(contract, dtype, limit):
    model, images = build(contract), torch.randn(1, 3, 70, 96)
    with torch.autocast('cpu', dtype):
        levels = model(images)
    for level, full in zip(levels, model(images)):
        assert (level.float() - full).norm() < limit * full.norm()
    sum(level.float().square().mean() for level in levels).backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@every_one_of_ours
def test_weights_replace_those_of_the_meta_device(contract):
    source = build(contract)
    with torch.device('meta'):
        model = build(contract)
    model.load_state_dict(source.state_dict(), assign=True)
    assert not any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers()))
    images = torch.randn(1, 3, 75, 96)
    with torch.no_grad():
        assert_same(model(images), source(images))


def plain(model, monkeypatch):
    """Nothing was done to the model."""


def wrapped(model, monkeypatch):
    """torch's function was replaced by one whose arguments have other names."""
    load = nn.Module.load_state_dict
    monkeypatch.setattr(
        nn.Module, 'load_state_dict', lambda module, given, exact=True: load(module, given, exact)
    )


def compiled(model, monkeypatch):
    """A block of each stage was compiled, which changes its names."""
    for stage in getattr(model, 'stages', []):
        blocks = getattr(stage, 'blocks', stage)
        blocks[0] = torch.compile(blocks[0], backend='eager')


@pytest.mark.parametrize('change', [plain, wrapped, compiled])
@every_backbone
def test_loads_its_own_state(contract, change, monkeypatch):
    model = build(contract)
    change(model, monkeypatch)
    weights = {name: value + 1 for name, value in model.state_dict().items()}
    done = model.load_state_dict(weights)
    assert (done.missing_keys, done.unexpected_keys) == ([], [])
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


@every_backbone
def test_nothing_is_missing_in_full(contract):
    model = build(contract)
    done = model.load_state_dict({}, strict=False)
    assert set(done.missing_keys) == {
        name for name in model.state_dict() if not name.endswith('num_batches_tracked')
    }


def export(model, images):
    sides = {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    return torch.export.export(model, (images,), dynamic_shapes=(sides,)).module()


def trace(model, images):
    """With gradients, as outside `no_grad`."""
    return torch.jit.trace(model, images)


def compile_dynamically(model, images):
    torch._dynamo.reset()
    compiled = torch.compile(model, dynamic=True, fullgraph=True, backend='eager')
    compiled(images)
    return compiled


SIZES = (112, 168), (75, 96), (64, 112), (131, 70)
# torch takes a number of windows that is 1 for a constant, so here there are more in every stage.
LARGE_SIZES = (480, 512), (256, 331), (300, 257)


@pytest.mark.parametrize(
    ('make', 'sizes'),
    [
        pytest.param(
            export,
            LARGE_SIZES,
            id='export',
            marks=pytest.mark.skipif(
                not hasattr(torch.compiler, 'is_exporting'),
                reason='another version of a library: torch before 2.7 exports for one size',
            ),
        ),
        pytest.param(trace, SIZES, id='trace'),
        pytest.param(compile_dynamically, SIZES, id='compile', marks=pytest.mark.large),
    ],
)
@pytest.mark.parametrize(
    'name',
    [
        name
        if name in ('pcpvt', 'stvit', 'svt_mask')
        else pytest.param(name, marks=pytest.mark.large)
        for name, contract in CONTRACTS.items()
        if contract.is_ours
    ],
)
def test_graph_of_one_size_is_right_at_others(name, make, sizes):
    model = build(CONTRACTS[name])
    graph = make(model, torch.randn(1, 3, *sizes[0]))
    for size in sizes:
        images = torch.randn(1, 3, *size)
        with torch.no_grad():
            assert_same(graph(images), model(images), rtol=1e-4, atol=1e-5)


@every_one_of_ours
def test_linear_layers_can_be_quantised(contract):
    """Each nn.Linear; STViT has 1 x 1 convolutions, as released."""
    model, images = build(contract), torch.randn(1, 3, 75, 96)
    layers = sum(isinstance(module, nn.Linear) for module in model.modules())
    quantised = torch.ao.quantization.quantize_dynamic(model, {nn.Linear})
    found = sum(
        isinstance(module, torch.ao.nn.quantized.dynamic.Linear) for module in quantised.modules()
    )
    assert found == layers and bool(layers) == (contract.config['type'] != 'STViT')
    with torch.no_grad():
        for level, full in zip(quantised(images), model(images)):
            assert (level - full).norm() < 0.1 * full.norm()
