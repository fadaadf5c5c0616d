import io

import numpy as np
import pytest
import torch
from matplotlib.text import Text
from tiny_archs import TINY_ARCHS, tiny_arch

from twins_mm import STViT, TwinsPCPVT, TwinsSVT
from twins_mm.inference.attention import trace_attention
from twins_mm.inference.attention_figure import draw_attention, principal_components


def test_components_match_a_singular_value_decomposition():
    torch.manual_seed(0)
    level = torch.randn(6, 5, 7) * torch.tensor([9.0, 1, 5, 1, 3, 1])[:, None, None]
    tokens = level.flatten(1).T.numpy()
    tokens = tokens - tokens.mean(0)
    left, values, _ = np.linalg.svd(tokens, full_matrices=False)
    colors, share = principal_components(level)
    assert share == pytest.approx((values[:3] ** 2).sum() / (values**2).sum())
    assert colors.shape == (5, 7, 3)
    assert colors.min() == 0 and colors.max() == 1
    for channel, expected in zip(colors.reshape(-1, 3).T, left.T):
        # Linear except where the percentiles clip.
        inside = (channel > 0) & (channel < 1)
        assert abs(np.corrcoef(channel[inside], expected[inside])[0, 1]) == pytest.approx(1)


def test_map_without_variance_has_a_colour():
    colors, share = principal_components(torch.ones(4, 2, 3))
    assert np.isfinite(colors).all() and share == 0


@pytest.mark.parametrize(
    ('patterns', 'kinds', 'first'),
    [
        ('LLLG', [{'LSA': 3}, {'GSA': 1}], 4),
        ('GLLG', [{'LSA': 2}, {'GSA': 2}], 1),
        ('LLL', [{'LSA': 3}], None),
    ],
)
def test_stages_without_one_of_the_attentions(patterns, kinds, first):
    """Their places are empty; the grid of the keys is that of the first stage with GSA."""
    backbone = TwinsSVT(tiny_arch(patterns)).eval()
    stages = trace_attention(backbone, torch.rand(1, 3, 96, 64))
    figure = draw_attention(np.zeros((96, 64, 3), np.uint8), stages, [(0.5, 0.5)])
    for row, kind in enumerate(kinds, 1):
        ((name, count),) = kind.items()
        drawn = [ax for ax in figure.axes if f': {name}, ' in ax.get_title()]
        assert len(drawn) == count
        assert {ax.get_subplotspec().rowspan.start for ax in drawn} == {row}
    if first:
        cells = next(ax for ax in figure.axes if ax.get_title() == 'GSA: cells of the keys')
        rows, columns = cells.collections
        keys = backbone.blocks[first - 1][-1].attn.sr_ratio * 4 * 2 ** (first - 1)
        assert [len(rows.get_paths()), len(columns.get_paths())] == [64 // keys + 1, 96 // keys + 1]
    figure.savefig(io.BytesIO(), dpi=50)


@pytest.mark.parametrize(('family', 'rows'), [(TwinsPCPVT, 3), (TwinsSVT, 5), (STViT, 3)])
def test_each_point_has_its_rows(family, rows):
    arch = TINY_ARCHS[family.__name__]
    # One block alone in the last stage: with it, Twins-SVT has no GSA there.
    backbone = family(dict(arch, depths=(2, 2, 2, 1))).eval()
    stages = trace_attention(backbone, torch.rand(1, 3, 96, 64))
    image = np.zeros((90, 60, 3), np.uint8)
    figure = draw_attention(image, stages, [(0, 0), (0.9, 0.5)])
    pictures = [ax for ax in figure.axes if ax.get_title()]
    assert len({ax.get_subplotspec().rowspan.start for ax in pictures}) == rows
    assert all(
        ax.get_xlim() == (0, 60) and ax.get_ylim() == (90, 0)
        for ax in pictures
        if 'LSA' not in ax.get_title()
    )
    assert {tuple(line.get_xydata()[0]) for line in pictures[0].lines} == {(0, 0), (54, 45)}
    assert {tuple(line.get_xydata()[0]) for line in pictures[-1].lines} == {(54, 45)}
    assert 'stage 1: 1/4, 8 channels' in {ax.get_title() for ax in pictures}
    figure.savefig(io.BytesIO(), dpi=50)


def test_scale_of_attention_says_what_uniform_is():
    backbone = TwinsPCPVT(TINY_ARCHS['TwinsPCPVT']).eval()
    stages = trace_attention(backbone, torch.rand(1, 3, 96, 64))
    figure = draw_attention(np.zeros((96, 64, 3), np.uint8), stages, [(0.5, 0.5)])
    assert any('uniform' in text.get_text() for text in figure.findobj(Text))


@pytest.mark.parametrize(('sharpness', 'low', 'high'), [(0, 0, 0), (1e3, 0, 0.9)])
def test_uniform_attention_has_no_colour(sharpness, low, high):
    """The opacity of what is drawn over the pictures, on a scale that all panels share."""
    backbone = TwinsPCPVT(TINY_ARCHS['TwinsPCPVT']).eval()
    for name, parameter in backbone.named_parameters():
        if '.q.' in name:
            parameter.data *= sharpness
    stages = trace_attention(backbone, torch.rand(1, 3, 320, 320))
    figure = draw_attention(np.zeros((320, 320, 3), np.uint8), stages, [(0.5, 0.5)])
    panels = [ax for ax in figure.axes if ': GSA, ' in ax.get_title()]
    opacity = [panel.images[1].to_rgba(panel.images[1].get_array())[..., 3] for panel in panels]
    assert len(panels) == 4
    assert min(map(np.min, opacity)) == pytest.approx(low, abs=0.01)
    assert max(map(np.max, opacity)) == pytest.approx(high, abs=0.01)
