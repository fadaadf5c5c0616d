import math
import subprocess
import sys
from importlib import import_module

import pytest
import torch
from mmengine.registry import MODELS
from reference.twins import _GlobalAttention, _LocalAttention, textbook_twins
from tiny_archs import TINY, TINY_ARCHS, tiny_arch
from torch.utils._python_dispatch import TorchDispatchMode

import twins_mm  # noqa: F401
from twins_mm.models.attention import SUB_SAMPLINGS
from twins_mm.models.backbone import FAMILIES
from twins_mm.models.layers import DropPath

TWINS = ['TwinsPCPVT', 'TwinsSVT']
VARIANTS = [(name, arch) for name in TWINS for arch in ('small', 'base', 'large')]
both_families = pytest.mark.parametrize('name', TWINS)
# Those that hold for all backbones; for the rest of STViT's see test_stvit.py.
every_family = pytest.mark.parametrize('name', FAMILIES)
# Of Table 5, and one that no family and no stage of another has.
PATTERNS = [
    ('L', 'L', 'L'),
    ('L', 'L', 'L', 'G'),
    ('LG', 'LG', 'LLG', 'G'),
    ('G', 'LG', 'GGL', 'LLG'),
]
every_pattern = pytest.mark.parametrize('patterns', PATTERNS, ids=','.join)


def build(name, arch=None, **kwargs):
    return MODELS.build(dict(type=name, arch=arch or TINY_ARCHS[name], **kwargs))


def randomise(model):
    """Gives all parameters, including norms and biases, random values."""
    torch.manual_seed(0)
    for parameter in model.parameters():
        parameter.data.add_(torch.randn_like(parameter) * 0.1)
    return model


def relative_difference(ours, theirs):
    return ((ours - theirs).norm() / theirs.norm()).item()


def assert_equals_reference(model, reference, size):
    reference.load_state_dict(randomise(model).state_dict())
    images = torch.randn(1, 3, *size)
    with torch.no_grad():
        ours, theirs = model.eval()(images), reference.eval()(images)
    assert [level.shape for level in ours] == [level.shape for level in theirs]
    for our_level, their_level in zip(ours, theirs):
        assert relative_difference(our_level, their_level) < 1e-5


# Sizes that neither a stride nor the window divides; for the small variants others too.
@pytest.mark.parametrize(
    ('name', 'arch', 'size'),
    [
        *((*variant, (131, 250)) for variant in VARIANTS),
        *((name, 'small', size) for name in TWINS for size in [(224, 224), (64, 96)]),
    ],
)
def test_equals_the_released_code(name, arch, size):
    assert_equals_reference(build(name, arch), textbook_twins(name, arch), size)


# At these sizes, stage 1 is padded on no side, on both, only on the right, and only below.
@pytest.mark.parametrize('size', [(56, 84), (64, 96), (56, 96), (64, 84)])
@pytest.mark.parametrize('padding', ['mask', 'zero', 'mask_legacy'])
def test_window_padding_equals_the_released_code(padding, size):
    arch = TINY_ARCHS['TwinsSVT']
    assert_equals_reference(
        build('TwinsSVT', window_padding=padding), textbook_twins('TwinsSVT', arch, padding), size
    )


@pytest.mark.parametrize('padding', ['mask', 'zero', 'mask_legacy'])
@every_pattern
def test_patterns_equal_the_plain_blocks_in_this_order(patterns, padding):
    arch = tiny_arch(patterns)
    stages = range(len(patterns))
    reference = textbook_twins('TwinsSVT', TINY_ARCHS['TwinsSVT'], out_indices=stages)
    for stage, pattern in enumerate(patterns):
        dim, heads = arch['embed_dims'][stage], arch['num_heads'][stage]
        for index, block in enumerate(reference.blocks[stage]):
            block.attn = (
                _LocalAttention(dim, heads, 7, padding)
                if pattern[index % len(pattern)] == 'L'
                else _GlobalAttention(dim, heads, arch['sr_ratios'][stage])
            )
    assert_equals_reference(build('TwinsSVT', arch, window_padding=padding), reference, (70, 110))


def test_families_differ_in_pattern_and_norms_alone():
    svt, pcpvt = TINY_ARCHS['TwinsSVT'], TINY_ARCHS['TwinsPCPVT']
    assert_equals_reference(
        build('TwinsPCPVT', dict(svt, patterns=['LG'] * 4), norm_after_stage=True),
        textbook_twins('TwinsSVT', svt),
        (70, 110),
    )
    assert_equals_reference(
        build('TwinsSVT', dict(pcpvt, patterns=['G'] * 4), norm_after_stage=False),
        textbook_twins('TwinsPCPVT', pcpvt),
        (70, 110),
    )


@pytest.mark.parametrize(
    ('size', 'alike'),
    [
        ((56, 56), {'mask', 'zero', 'mask_legacy'}),
        ((64, 64), {'mask', 'mask_legacy'}),
        ((56, 64), {'zero', 'mask_legacy'}),
    ],
)
def test_legacy_mask_vanishes_where_one_side_is_padded(size, alike):
    images = torch.randn(1, 3, *size)
    model = randomise(build('TwinsSVT', out_indices=(0,), window_padding='mask'))
    outputs = {}
    for padding in ('mask', 'zero', 'mask_legacy'):
        other = build('TwinsSVT', out_indices=(0,), window_padding=padding)
        other.load_state_dict(model.state_dict())
        outputs[padding] = other.eval()(images)[0]
    same = {
        padding
        for padding, output in outputs.items()
        if torch.allclose(output, outputs['mask_legacy'], atol=1e-5)
    }
    assert same == alike


def test_norms_of_stages_that_are_not_returned_are_applied():
    """As released: RetinaNet's stage 2 gets the normalised stage 1."""
    model = randomise(build('TwinsSVT', out_indices=(1, 2, 3)))
    full = build('TwinsSVT')
    full.load_state_dict(model.state_dict())
    images = torch.randn(1, 3, 64, 64)
    for level, expected in zip(model.eval()(images), full.eval()(images)[1:]):
        torch.testing.assert_close(level, expected)


@pytest.mark.parametrize(
    ('name', 'arch', 'count'),
    [
        ('TwinsPCPVT', 'small', 24_106_216),
        ('TwinsPCPVT', 'base', 43_828_456),
        ('TwinsPCPVT', 'large', 60_989_672),
        ('TwinsSVT', 'small', 24_060_776),
        ('TwinsSVT', 'base', 56_070_952),
        ('TwinsSVT', 'large', 99_271_400),
    ],
)
def test_parameters_of_the_classifier_in_the_authors_logs(name, arch, count):
    with torch.device('meta'):
        model = build(name, arch, norm_after_stage=False)
    width = model.out_channels[-1]
    final_norm_and_head = 2 * width + 1000 * width + 1000
    assert sum(p.numel() for p in model.parameters()) + final_norm_and_head == count


@pytest.mark.parametrize(('name', 'arch'), VARIANTS)
def test_names_are_the_released_ones(name, arch):
    with torch.device('meta'):
        ours, reference = build(name, arch), textbook_twins(name, arch)
    assert {key: value.shape for key, value in ours.state_dict().items()} == {
        key: value.shape for key, value in reference.state_dict().items()
    }


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('out_indices', [(0, 1, 2, 3), (1, 2, 3), (0, 2), (1,)])
@every_family
def test_every_parameter_gets_a_gradient(name, out_indices, training):
    model = build(name, out_indices=out_indices, drop_path_rate=0.0).train(training)
    levels = model(torch.randn(2, 3, 70, 96))
    assert [level.shape[1] for level in levels] == list(model.out_channels)
    round_side = math.ceil if name == 'STViT' else math.floor
    assert [level.shape[2:] for level in levels] == [
        (round_side(70 / (4 * 2**index)), 96 // (4 * 2**index)) for index in out_indices
    ]
    sum(level.square().mean() for level in levels).backward()
    assert [key for key, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@every_family
def test_gradients_have_the_strides_of_parameters(name):
    """If they differed, DistributedDataParallel would warn at the start of every run."""
    model = build(name)
    sum(level.mean() for level in model(torch.randn(1, 3, 64, 96))).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad.stride() == parameter.stride(), key


@pytest.mark.parametrize('sub_sampling', SUB_SAMPLINGS)
@every_pattern
def test_every_pattern_trains(patterns, sub_sampling):
    """Every stage returned, every parameter with a gradient that has its strides, frozen or not."""
    model = build(
        'TwinsSVT',
        tiny_arch(patterns),
        sub_sampling=sub_sampling,
        with_cp=True,
        frozen_stages=0,
        drop_path_rate=0.0,
    ).train()
    levels = model(torch.randn(2, 3, 70, 96))
    assert [level.shape[1] for level in levels] == list(TINY['embed_dims'][: len(patterns)])
    sum(level.square().mean() for level in levels).backward()
    for key, parameter in model.named_parameters():
        if key.split('.')[1] == '0':
            assert parameter.grad is None, key
        else:
            assert parameter.grad.any(), key
            assert parameter.grad.stride() == parameter.stride(), key


@pytest.mark.parametrize('scope', ['mmengine', 'mmdet', 'mmseg'])
@every_family
def test_builds_in_every_scope(name, scope):
    registry = import_module(f'{scope}.registry').MODELS
    assert registry.build(dict(type=name, arch='small', out_indices=(0,))).out_channels == (64,)


def test_builds_without_mmcv():
    code = (
        'import sys; sys.modules.update(mmcv=None, mmdet=None, mmseg=None)\n'
        "from twins_mm.models import TwinsSVT; TwinsSVT('small')"
    )
    subprocess.run([sys.executable, '-c', code], check=True)


@pytest.mark.parametrize('size', [(64, 64), (70, 96)])
@every_family
def test_compiles_into_one_graph(name, size):
    model = build(name).eval()
    images = torch.randn(1, 3, *size)
    torch._dynamo.reset()
    with torch.no_grad():
        compiled = torch.compile(model, fullgraph=True, backend='eager')(images)
        for level, expected in zip(compiled, model(images)):
            torch.testing.assert_close(level, expected)


@pytest.mark.parametrize('sub_sampling', [*SUB_SAMPLINGS][1:])
def test_patterns_and_sub_samplings_compile_into_one_graph(sub_sampling):
    model = build('TwinsSVT', tiny_arch(PATTERNS[-1]), sub_sampling=sub_sampling).eval()
    images = torch.randn(1, 3, 70, 96)
    torch._dynamo.reset()
    with torch.no_grad():
        compiled = torch.compile(model, fullgraph=True, backend='eager')(images)
        for level, expected in zip(compiled, model(images)):
            torch.testing.assert_close(level, expected)


@pytest.mark.parametrize(
    'name',
    [
        'TwinsSVT',
        *(pytest.param(name, marks=pytest.mark.large) for name in ('TwinsPCPVT', 'STViT')),
    ],
)
def test_compiles_with_dropout_in_training(name):
    """aot_eager relies on the traced strides, including those of gradients."""
    drops = dict(drop_rate=0.1, attn_drop_rate=0.1, norm_after_stage=False)
    model = build(name, drop_path_rate=0.1, **(drops if name in TWINS else {}))
    torch._dynamo.reset()
    levels = torch.compile(model, fullgraph=True, backend='aot_eager')(torch.randn(2, 3, 64, 96))
    sum(level.mean() for level in levels).backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


class CopyCounter(TorchDispatchMode):
    """Counts the operations that copy a tensor to change its layout."""

    copies = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.copies += function.overloadpacket in (
            torch.ops.aten.clone,
            torch.ops.aten.copy_,
            torch.ops.aten._to_copy,
        )
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize('sub_sampling', SUB_SAMPLINGS)
def test_channels_last_needs_no_copies_inside(sub_sampling):
    """One copy of the input images, and one of each output level; those of products aside."""
    model = build('TwinsPCPVT', sub_sampling=sub_sampling).eval()
    with torch.no_grad(), CopyCounter() as counter:
        levels = model(torch.randn(1, 3, 64, 96))
    assert counter.copies == 1 + len(levels)


@every_family
def test_levels_have_the_memory_format_of_mmcvs_operators(name):
    """RoIAlign ignores strides: on channels-last maps it returns the wrong features."""
    from mmcv.ops import RoIAlign

    align, boxes = RoIAlign(output_size=2), torch.tensor([[0, 0.0, 0.0, 2.0, 2.0]])
    for level in build(name)(torch.randn(1, 3, 64, 96)):
        in_order = level.clone(memory_format=torch.contiguous_format)
        assert torch.equal(align(level, boxes), align(in_order, boxes))


@both_families
def test_norms_have_the_released_eps(name):
    """Read from the modules, because a wrong epsilon hardly changes outputs on ordinary images."""
    model = build(name, norm_after_stage=True)
    for key, module in model.named_modules():
        if isinstance(module, torch.nn.LayerNorm):
            of_torch = key.startswith('patch_embeds') or key.endswith('attn.norm')
            assert module.eps == (1e-5 if of_torch else 1e-6), key


@both_families
def test_numerics_of_mmseg(name):
    """For a comparison of outputs see tests/checkpoints/test_mmseg.py."""
    model = build(name, norm_after_stage=True, numerics='mmseg')
    assert {module.eps for module in model.modules() if isinstance(module, torch.nn.LayerNorm)} == {
        1e-5
    }
    assert [level.shape[2:] for level in model(torch.rand(1, 3, 65, 97))] == [
        (17, 25),
        (9, 13),
        (5, 7),
        (3, 4),
    ]


@pytest.mark.parametrize(
    ('kwargs', 'padding'),
    [
        (dict(), 'mask'),
        (dict(numerics='mmseg'), 'mask_legacy'),
        (dict(numerics='mmseg', window_padding='zero'), 'zero'),
    ],
)
def test_default_of_window_padding(kwargs, padding):
    assert build('TwinsSVT', **kwargs).blocks[0][0].attn.padding == padding


@every_family
def test_drop_path_grows_linearly_over_the_blocks(name):
    model = build(name, drop_path_rate=0.4)
    rates = [block.drop_path.p for blocks in model.stages for block in blocks]
    assert rates == pytest.approx([0.4 * i / 8 for i in range(9)])
    assert sum(isinstance(module, DropPath) for module in model.modules()) == 9


@pytest.mark.parametrize(
    ('name', 'options'),
    [
        ('TwinsSVT', dict(with_cp=True)),
        ('TwinsSVT', dict(recompute_mlp=False)),
        ('STViT', dict(with_cp=True)),
    ],
)
def test_recomputing_changes_no_gradient(name, options):
    images = torch.randn(1, 3, 64, 64)
    gradients = []
    for changed in ({}, options):
        torch.manual_seed(0)
        model = build(name, **changed)
        torch.manual_seed(1)
        sum(level.mean() for level in model(images)).backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    torch.testing.assert_close(*gradients)


@every_family
def test_frozen_stages_do_not_change(name):
    drops = dict(drop_rate=0.5) if name in TWINS else {}
    model = build(name, frozen_stages=1, drop_path_rate=0.5, with_cp=True, **drops).train()
    before = {key: value.clone() for key, value in model.named_buffers()}
    sum(level.mean() for level in model(torch.randn(2, 3, 64, 64))).backward()

    def is_frozen(key):
        """What makes stage 3's first map belongs to that."""
        part, stage, *_ = key.split('.')
        return part == 'patch_embed' or int(stage) + ('downsample' in key) <= 1

    for key, parameter in model.named_parameters():
        assert (parameter.grad is None) == is_frozen(key), key
    for key, value in model.named_buffers():  # BatchNorm's
        assert torch.equal(value, before[key]) == is_frozen(key), key
    stages = model.stages
    assert not any(module.training for blocks in stages[:2] for module in blocks.modules())
    assert all(module.training for blocks in stages[2:] for module in blocks.modules())


@both_families
def test_dropout_rates_reach_their_layers(name):
    model = build(name, drop_rate=0.3, attn_drop_rate=0.4)
    rates = {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)}
    assert rates == {0.3}
    assert {module.attn_drop for module in model.modules() if hasattr(module, 'attn_drop')} == {0.4}


def test_initialisation_is_the_released_one():
    torch.manual_seed(0)
    model = build('TwinsPCPVT', 'small')
    linear, depthwise = model.blocks[3][0].mlp.fc1.weight, model.pos_block[3].proj[0].weight
    assert linear.std().item() == pytest.approx(0.02, rel=0.02)
    assert depthwise.std().item() == pytest.approx((2 / 9) ** 0.5, rel=0.05)
    patches = model.patch_embeds[2].proj.weight
    assert patches.std().item() == pytest.approx((2 / (2 * 2 * 320)) ** 0.5, rel=0.02)
    biased = {
        key
        for key, value in model.named_parameters()
        if key.endswith('bias') and value.any() and 'norm' not in key
    }
    assert biased == {'patch_embeds.0.proj.bias'}


@both_families
def test_zero_padding_does_not_blow_up_the_first_gradients(name):
    """A bias of 0, as released, would have a gradient a million times all others."""
    torch.manual_seed(0)
    model = build(name, 'small')
    images = torch.randn(1, 3, 128, 160)
    images[..., -32:] = 0
    sum((level * torch.randn_like(level)).mean() for level in model(images)).backward()
    norms = {key: value.grad.norm() for key, value in model.named_parameters()}
    bias = norms.pop('patch_embeds.0.proj.bias')
    assert bias < torch.stack(list(norms.values())).norm()


@pytest.mark.parametrize(
    ('kwargs', 'error', 'message'),
    [
        (dict(arch='tiny'), ValueError, "arch='tiny' is unknown; pass one of small, base, large"),
        (dict(numerics='timm'), ValueError, "numerics='timm' is unknown; pass one of released"),
        (dict(arch=dict(TINY)), ValueError, r"missing: \['window_sizes'\]"),
        (dict(arch=dict(TINY, patterns='GGGL')), ValueError, r"missing: \['window_sizes'\]"),
        (
            dict(arch=dict(tiny_arch(PATTERNS[0]), sr_ratios=(8, 4, 2))),
            ValueError,
            r"unknown: \['sr_ratios'\]",
        ),
        (
            dict(arch=dict(TINY, patterns=('G', 'G'))),
            ValueError,
            'one value of at least 1 per stage',
        ),
        *(
            (
                dict(arch=dict(TINY, patterns=patterns)),
                ValueError,
                'patterns of L for LSA and G for GSA',
            )
            for patterns in (2, (2,) * 4, ('G', 'G', 'G', ''), ('G', 'G', 'G', 'S'))
        ),
        (
            dict(sub_sampling='pooling'),
            ValueError,
            'pass one of convolution, separable_convolution',
        ),
        (dict(arch=dict(TINY_ARCHS['TwinsSVT'], width=1)), ValueError, r"unknown: \['width'\]"),
        (dict(arch=dict(TINY_ARCHS['TwinsSVT'], depths=(2, 2))), ValueError, 'one value'),
        (dict(arch=dict(TINY_ARCHS['TwinsSVT'], depths=2)), ValueError, 'one value'),
        (dict(arch=dict(TINY_ARCHS['TwinsSVT'], depths=(2, 0, 2, 2))), ValueError, 'at least 1'),
        (dict(arch=dict(TINY_ARCHS['TwinsSVT'], num_heads=(3, 2, 3, 4))), ValueError, '8 channels'),
        (dict(out_indices=()), ValueError, r'pass ascending stage indices from \(0, 1, 2, 3\)'),
        (dict(out_indices=3), ValueError, 'pass ascending'),
        (dict(out_indices=(1, 4)), ValueError, 'pass ascending'),
        (dict(out_indices=(2, 1)), ValueError, 'pass ascending'),
        (dict(out_indices=(-1,)), ValueError, 'pass ascending'),
        (dict(drop_path_rate=1.0), ValueError, 'from 0 to below 1'),
        (dict(frozen_stages=4), ValueError, 'pass -1 to train all'),
        (dict(window_padding='none'), ValueError, 'pass one of mask, zero, mask_legacy'),
        (dict(windiow_sizes=7), TypeError, 'windiow_sizes'),
        (dict(num_classes=1000), TypeError, 'num_classes'),
    ],
)
def test_bad_arguments_are_refused(kwargs, error, message):
    with pytest.raises(error, match=message):
        build('TwinsSVT', **kwargs)


def test_pcpvt_has_no_windows_to_pad():
    with pytest.raises(TypeError, match='window_padding'):
        build('TwinsPCPVT', window_padding='zero')


@pytest.mark.parametrize(('out_indices', 'smallest'), [((0, 1, 2, 3), 32), ((0,), 32)])
@both_families
def test_too_small_an_image_is_refused(name, out_indices, smallest):
    model = build(name, out_indices=out_indices).eval()
    model(torch.randn(1, 3, smallest, smallest))
    with pytest.raises(ValueError, match=f'pass at least {smallest}'):
        model(torch.randn(1, 3, smallest - 1, 64))


def test_smallest_image_without_sub_sampling():
    model = build('TwinsPCPVT', dict(TINY, sr_ratios=(1, 1, 1, 1))).eval()
    with pytest.raises(ValueError, match='too small for stage 4; pass at least 32'):
        model(torch.randn(1, 3, 31, 64))


@pytest.mark.parametrize(
    ('patterns', 'smallest'),
    [
        (('L', 'L', 'L'), 16),
        (('L', 'L', 'L', 'G'), 32),
        (('L', 'G', 'L'), 32),
        (('L', 'LLG', 'L'), 16),
    ],
)
def test_smallest_image_is_that_of_the_stages_with_gsa(patterns, smallest):
    model = build('TwinsSVT', tiny_arch(patterns)).eval()
    model(torch.randn(1, 3, smallest, smallest))
    with pytest.raises(ValueError, match=f'pass at least {smallest}'):
        model(torch.randn(1, 3, smallest - 1, 64))


@pytest.mark.parametrize('archs', [family.archs for family in FAMILIES.values()], ids=FAMILIES)
def test_variants_have_four_stages_and_heads_of_equal_width(archs):
    for arch in archs.values():
        assert {len(values) for values in arch.values()} == {4}
        assert all(dim % heads == 0 for dim, heads in zip(arch['embed_dims'], arch['num_heads']))
