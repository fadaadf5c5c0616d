import pytest
import torch

from twins_mm.models.attention import (
    WINDOW_PADDINGS,
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


def test_windows_hold_neighbours_row_by_row():
    x = torch.arange(16.).view(1, 4, 4, 1)
    assert window_partition(x, 2)[..., 0].tolist() == [
        [0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]


@pytest.mark.parametrize('padding', WINDOW_PADDINGS)
@pytest.mark.parametrize('size', [(14, 7), (14, 20), (9, 14), (9, 20)])
def test_mask_for_any_size_changes_nothing(size, padding):
    layer = LocallyGroupedAttention(8, 2, 7, padding)
    x = torch.rand(2, *size, 8)
    expected = layer(x)
    layer.any_size = True
    torch.testing.assert_close(layer(x), expected)
    if padding != 'zero':
        assert layer._real_tokens(x) is not None
