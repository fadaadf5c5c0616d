import pytest

from twins_mm.paper.baselines import backbone_of, our_backbone_of


@pytest.mark.parametrize(
    ('row', 'backbone'),
    [
        ('Twins-SVT-S', 'svt_s'),
        ('(L, LG, LG, G)', 'svt_s'),
        ('(L, LLG, LLG, G)', 'svt_s_llg'),
        ('(L, L, L)', 'svt_s_lll'),
        ('PVT-small (G, G, G, G)', None),
        ('Average Pooling', 'svt_s_average_pooling'),
        ('STViT 64-512', 'stvit_s_isotropic'),
        ('STViT 64-512 with RPE', None),
        ('Swin-T', None),
    ],
)
def test_our_backbone_of_a_row(row, backbone):
    found = our_backbone_of(row)
    assert (found.name if found else None) == backbone


@pytest.mark.parametrize(
    ('row', 'backbone'), [('Twins-SVT-S', 'svt_s'), ('Swin-T', 'swin_t'), ('DeiT-Small/16', None)]
)
def test_backbone_of_a_row(row, backbone):
    found = backbone_of(row)
    assert (found.name if found else None) == backbone
