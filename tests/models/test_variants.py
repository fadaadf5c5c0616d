import pytest

from twins_mm import TwinsSVT
from twins_mm.models.variants import BACKBONES, VARIANTS, Variant, variant_of


@pytest.mark.parametrize(
    ('name', 'backbone'),
    [
        ('Twins-SVT-S', 'svt_s'),
        ('upernet_twins_pcpvt_b_160k', 'pcpvt_b'),
        ('Swin-T', None),
        ('PVT-small (G, G, G, G)', None),
        ('retinanet_twins_svt_s_lllg_1x', 'svt_s_lllg'),
        ('STViT-S', 'stvit_s'),
        ('STViT 64-512 with RPE', None),
        ('stvit_s_isotropic', 'stvit_s_isotropic'),
    ],
)
def test_variant_of_a_name(name, backbone):
    variant = variant_of(name)
    assert (variant.name if variant else None) == backbone


def test_names_of_backbones():
    assert len(BACKBONES) >= len(VARIANTS) + 6
    for name, variant in BACKBONES.items():
        assert variant_of(str(variant)) == variant
        prefix = 'twins_' * ('Twins' in str(variant))
        assert variant.name == name and variant.in_configs == f'{prefix}{name}'


def test_sizes_that_begin_with_the_same_letter():
    sizes = ('small', 'b0', 'b1', 'tiny', 'b1_lll')
    assert [Variant(TwinsSVT, size).name for size in sizes] == [
        'svt_s',
        'svt_b0',
        'svt_b1',
        'svt_tiny',
        'svt_b1_lll',
    ]


@pytest.mark.parametrize(
    ('name', 'blocks'),
    [
        ('pcpvt_s', ('GGG', 'GGGG', 'GGGGGG', 'GGG')),
        ('svt_s', ('LG', 'LG', 'LGLGLGLGLG', 'LGLG')),
        ('svt_s_lll', ('LL', 'LL', 'LLLLLLLLLL')),
        ('svt_s_llg', ('LG', 'LG', 'LLGLLGLLGL', 'GGGG')),
        ('svt_s_lllg', ('LL', 'LL', 'LLLLLLLLLL', 'GGGG')),
    ],
)
def test_blocks_of_a_variant(name, blocks):
    variant = BACKBONES[name]
    assert variant.family.blocks_of(variant.arch) == blocks
