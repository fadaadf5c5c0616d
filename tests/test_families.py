import pytest

from twins_mm.families import BACKBONES, VARIANTS, variant_of


@pytest.mark.parametrize(
    ('name', 'backbone'),
    [
        ('Twins-SVT-S', 'svt_s'),
        ('upernet_twins_pcpvt_b_160k', 'pcpvt_b'),
        ('Swin-T', None),
        ('(L, LG, LG, G)', 'svt_s'),
        ('(L, LLG, LLG, G)', 'svt_s_llg'),
        ('(L, L, L)', 'svt_s_lll'),
        ('PVT-small (G, G, G, G)', None),
        ('Average Pooling', 'svt_s_average_pooling'),
        ('retinanet_twins_svt_s_lllg_1x', 'svt_s_lllg'),
        ('STViT-S', 'stvit_s'),
        ('STViT 64-512', 'stvit_s_isotropic'),
        ('STViT 64-512 with RPE', None),
        ('stvit_s_isotropic', 'stvit_s_isotropic'),
    ],
)
def test_variant_of_a_name(name, backbone):
    variant = variant_of(name)
    assert (variant.name if variant else None) == backbone


def test_names_of_backbones():
    assert len(BACKBONES) == len(VARIANTS) + 6
    for name, variant in BACKBONES.items():
        assert variant_of(str(variant)) == variant
        prefix = 'twins_' * ('Twins' in str(variant))
        assert variant.name == name and variant.in_configs == f'{prefix}{name}'


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
    family, size, _ = BACKBONES[name]
    assert family.blocks_of(family.named_archs[size]) == blocks
