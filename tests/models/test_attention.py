import pytest
import torch
from torch.nn import functional as F

from twins_mm.models import attention
from twins_mm.models.attention import (
    MAX_BATCH,
    WINDOW_PADDINGS,
    GlobalSubsampledAttention,
    LocallyGroupedAttention,
    window_partition,
    window_unpartition,
)


@pytest.mark.parametrize('size', [(7, 7), (14, 21), (8, 15), (3, 20)])
def test_unpartition_undoes_partition(size):
    x = torch.rand(2, *size, 5)
    windows = window_partition(x, 7)
    assert windows.shape == (2 * -(-size[0] // 7) * -(-size[1] // 7), 49, 5)
    assert torch.equal(window_unpartition(windows, 7, *size), x)


def test_windows_contain_neighbours_row_by_row():
    x = torch.arange(16.0).view(1, 4, 4, 1)
    assert window_partition(x, 2)[..., 0].tolist() == [
        [0, 1, 4, 5],
        [2, 3, 6, 7],
        [8, 9, 12, 13],
        [10, 11, 14, 15],
    ]


@pytest.mark.parametrize('padding', WINDOW_PADDINGS)
@pytest.mark.parametrize('size', [(14, 7), (14, 20), (9, 14), (9, 20)])
def test_mask_for_any_size_changes_nothing(size, padding, monkeypatch):
    layer = LocallyGroupedAttention(8, 2, 7, padding)
    x = torch.rand(2, *size, 8)
    expected = layer(x)
    monkeypatch.setattr(attention, '_is_for_any_size', lambda: True)
    torch.testing.assert_close(layer(x), expected)
    if padding != 'zero':
        assert layer.make_mask(x) is not None


@pytest.mark.parametrize('padding', ['mask', 'zero'])
def test_batches_stay_within_the_limit_of_cuda_kernels(padding, monkeypatch):
    """A map of 1790 x 1790, from an image of 7160 x 7160 pixels, has 65,536 windows."""
    layer = LocallyGroupedAttention(2, 1, 7, padding).eval()
    batches, attend = [], F.scaled_dot_product_attention
    monkeypatch.setattr(
        F,
        'scaled_dot_product_attention',
        lambda q, k, v, mask=None, *args: (
            batches.append(max(len(x) for x in (q, k, v, mask) if x is not None)),
            attend(q, k, v, mask, *args),
        )[1],
    )
    x = torch.rand(1, 256 * 7 - 2, 256 * 7 - 2, 2)
    with torch.no_grad():
        whole = layer(x)
        parts = torch.cat([layer(part) for part in x.split(128 * 7, 1)], 1)
    assert batches == [MAX_BATCH, 1, 2**15, 2**15]
    torch.testing.assert_close(whole, parts)


@pytest.mark.parametrize('size', [(8, 12), (9, 15)])
@pytest.mark.parametrize('kind', ['separable_convolution', 'average_pooling'])
def test_sub_samplings_are_special_convolutions(kind, size):
    layer = GlobalSubsampledAttention(6, 2, 4, kind)
    general = GlobalSubsampledAttention(6, 2, 4)
    weights = {
        name: value for name, value in layer.state_dict().items() if not name.startswith('sr.')
    }
    if kind == 'average_pooling':
        weight, bias = torch.eye(6)[:, :, None, None].expand(6, 6, 4, 4) / 16, torch.zeros(6)
    else:
        parts = layer.sr.depthwise, layer.sr.pointwise
        (depthwise, inner), (pointwise, outer) = ((part.weight, part.bias) for part in parts)
        weight, bias = pointwise * depthwise[:, 0], pointwise[:, :, 0, 0] @ inner + outer
    general.load_state_dict({**weights, 'sr.weight': weight, 'sr.bias': bias})
    x = torch.rand(2, *size, 6)
    torch.testing.assert_close(layer(x), general(x))
