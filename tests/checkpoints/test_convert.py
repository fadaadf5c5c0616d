"""For comparisons of the names with the peers' see test_peer_classifiers.py and test_mmseg.py."""

import pytest
import torch
from checkpoints.classifiers import stvit_file, with_classifier
from tiny_archs import TINY_ARCHS, tiny_arch

from twins_mm import TwinsPCPVT, TwinsSVT
from twins_mm.checkpoints.convert import TARGETS, convert
from twins_mm.checkpoints.unpack import LAYOUTS, unpack
from twins_mm.errors import UserError
from twins_mm.models.attention import SUB_SAMPLINGS
from twins_mm.models.published_weights import name_classifier


def weights_of(family, norm_after_stage=False, classifier=False, prefix='', heads=False):
    """A state dict under the released names, with distinguishable tensors."""
    model = dict(PCPVT=TwinsPCPVT, SVT=TwinsSVT)[family](
        TINY_ARCHS[f'Twins{family}'], norm_after_stage=norm_after_stage
    )
    weights = dict(model.state_dict())
    if classifier:
        weights = with_classifier(weights, 32, num_classes=10)
    weights = {prefix + name: torch.rand_like(value) for name, value in weights.items()}
    if heads:
        weights |= {
            'decode_head.conv_seg.weight': torch.rand(3, 8, 1, 1),
            'decode_head.blocks.0.norm.weight': torch.rand(8),
        }
    return weights


KINDS = dict(
    backbone=dict(),
    pyramid=dict(norm_after_stage=True),
    classifier=dict(classifier=True),
    segmentor=dict(prefix='backbone.', heads=True),
    segmentor_with_norms=dict(prefix='backbone.', heads=True, norm_after_stage=True),
    authors_segmentor=dict(prefix='backbone.', heads=True, norm_after_stage=True, classifier=True),
)


def assert_same(weights, expected):
    assert weights.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(weights[name], value), name


@pytest.mark.parametrize(
    ('kind', 'target'),
    [
        (kind, target)
        for kind in KINDS
        for target in TARGETS
        if target != 'timm' or kind in ('backbone', 'classifier')
    ],
)
@pytest.mark.parametrize('family', ['PCPVT', 'SVT'])
def test_round_trips_are_lossless(family, kind, target):
    weights = weights_of(family, **KINDS[kind])
    converted = convert(weights, target)
    assert_same(convert(converted, 'twins_mm'), weights)
    assert_same(convert(converted, target), converted)
    if target in ('mmseg', 'mmpretrain'):
        assert not any('blocks.' in name for name in converted if 'decode_head' not in name)


@pytest.mark.parametrize('target', TARGETS)
@pytest.mark.parametrize('family', ['PCPVT', 'SVT'])
def test_our_image_classifiers_convert_to_every_layout_and_back(family, target):
    released = weights_of(family, classifier=True)
    ours = name_classifier(released, LAYOUTS)
    assert {name.partition('.')[0] for name in ours} == {'backbone', 'neck', 'head'}
    assert {name for name in ours if not name.startswith('backbone.')} == {
        'neck.norm.weight',
        'neck.norm.bias',
        'head.fc.weight',
        'head.fc.bias',
    }
    converted = convert(ours, target)
    assert_same(converted, convert(released, target))
    assert_same(name_classifier(converted, LAYOUTS), ours)
    assert_same(name_classifier(ours, LAYOUTS), ours)


@pytest.mark.parametrize('kind', [kind for kind in KINDS if kind != 'classifier'])
def test_only_classifiers_get_an_image_classifiers_names(kind):
    weights = weights_of('SVT', **KINDS[kind])
    assert name_classifier(weights, LAYOUTS) is weights


@pytest.mark.parametrize('source', ['mmseg', 'mmpretrain'])
@pytest.mark.parametrize('target', ['mmseg', 'mmpretrain'])
def test_round_trips_between_other_layouts_are_lossless(source, target):
    weights = convert(weights_of('SVT', classifier=True), source)
    assert_same(convert(convert(weights, target), source), weights)


@pytest.mark.parametrize('sub_sampling', SUB_SAMPLINGS)
@pytest.mark.parametrize('target', TARGETS)
def test_round_trips_of_any_pattern(target, sub_sampling):
    weights = TwinsSVT(
        tiny_arch(('L', 'GL', 'LLG', 'G')), sub_sampling=sub_sampling, norm_after_stage=False
    ).state_dict()
    converted = convert(weights, target)
    assert_same(convert(converted, 'twins_mm'), weights)
    fused = [name[:10] for name in converted if name.endswith('attn.in_proj_weight')]
    assert fused == ['layers.1.0', 'layers.2.2', 'layers.3.0', 'layers.3.1'] * (target == 'mmseg')


def test_queries_keys_and_values_of_gsa_are_one_tensor_in_mmseg():
    weights = weights_of('SVT')
    fused = convert(weights, 'mmseg')['layers.0.1.attn.attn.in_proj_weight']
    torch.testing.assert_close(
        fused,
        torch.cat([weights['blocks.0.1.attn.q.weight'], weights['blocks.0.1.attn.kv.weight']]),
    )


def test_split_tensors_do_not_keep_the_fused_one_in_memory():
    weights = convert(convert(weights_of('PCPVT'), 'mmseg'), 'twins_mm')
    part = weights['blocks.0.0.attn.q.weight']
    assert part.untyped_storage().nbytes() == part.nbytes


@pytest.mark.parametrize('target', ['mmseg', 'mmpretrain'])
def test_order_of_names_does_not_matter(target):
    weights = weights_of('SVT', classifier=True)
    backwards = dict(reversed(weights.items()))
    assert_same(convert(backwards, target), convert(weights, target))


def test_prefix_of_a_wrapped_model_is_ignored():
    weights = weights_of('SVT', prefix='backbone.', heads=True)
    wrapped = {f'module.{name}': value for name, value in weights.items()}
    assert_same(convert(wrapped, 'twins_mm'), weights)


@pytest.mark.parametrize(
    ('target', 'prefix'),
    [('twins_mm', ''), ('timm', ''), ('mmseg', ''), ('mmpretrain', 'backbone.')],
)
def test_prefix_of_a_classifier(target, prefix):
    converted = convert(weights_of('SVT', classifier=True), target)
    assert unpack(converted).prefix == prefix


def test_timm_gets_a_backbone_without_the_heads():
    weights = weights_of('PCPVT', prefix='backbone.', heads=True)
    assert_same(
        convert(weights, 'timm'),
        {
            name.removeprefix('backbone.'): value
            for name, value in weights.items()
            if name.startswith('backbone.')
        },
    )


def test_timm_does_not_get_norms_that_it_would_ignore():
    with pytest.raises(UserError, match='a norm after each stage'):
        convert(weights_of('SVT', norm_after_stage=True), 'timm')


def test_stvit_has_one_layout():
    """The released one, without its frozen kernels; mmpretrain's classifier has it too."""
    weights, expected = stvit_file(), stvit_file(constants=False)
    found = convert(weights, 'twins_mm')
    assert found.keys() == expected.keys()
    classifier = name_classifier(weights, LAYOUTS)
    assert {name.partition('.')[0] for name in classifier} == {'backbone', 'neck', 'head'}
    assert_same(convert(classifier, 'twins_mm'), found)
    for target in TARGETS[1:]:
        with pytest.raises(UserError, match=f'{target} has no STViT'):
            convert(weights, target)


@pytest.mark.parametrize(
    ('weights', 'found'),
    [
        (dict(), 'nothing'),
        (dict.fromkeys(['conv1.weight', 'fc.bias', 'fc.weight']), 'conv1, fc'),
        ({'patch_embeds.0.norm.weight': None}, 'patch_embeds'),
    ],
)
def test_other_weights_are_refused(weights, found):
    message = f'No Twins or STViT backbone found; the weights are of {found}'
    with pytest.raises(UserError, match=message):
        convert(weights, 'twins_mm')
