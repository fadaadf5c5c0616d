"""RoIAlign: bilinear samples of a feature map, averaged in the bins of each region.

The average is linear in the map, and rows and columns are independent: a bin is the product of
weights of rows, the region's part of the map, and weights of columns.

Letters in shapes: K regions (RoIs), P bins along an axis, G samples along a bin.
"""

from collections.abc import Iterator

import torch

from .kernels import find_torchvision
from .precision import as_computed


@torch.compiler.disable
def roi_align_forward(
    features: torch.Tensor,
    rois: torch.Tensor,
    output: torch.Tensor,
    argmax_y: torch.Tensor,
    argmax_x: torch.Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Fills `output`, `(K, C, aligned_height, aligned_width)`.

    Args:
        features: `(B, C, H, W)`.
        rois: `(K, 5)`: index of the image; x1, y1, x2, y2.
        output: In the dtype of `features`.
        argmax_y: For maxima, not used.
        argmax_x: For maxima, not used.
        aligned_height: Bins along y.
        aligned_width: Bins along x.
        spatial_scale: The scale of the map, relative to the RoIs.
        sampling_ratio: Samples per bin and axis; 0 for one per pixel of the map, rounded up.
        pool_mode: 1, for averages.
        aligned: Whether pixels are centred at half coordinates; False is mmdet 1.x's.

    Raises:
        NotImplementedError: `pool_mode` is 0, for maxima.
        ValueError: On a CPU, a RoI is infinite, is of an image that isn't there or, if aligned, has
            a negative side. On CUDA that isn't checked, because it would have to wait.
    """
    _check_mode(pool_mode)
    # Both need RoIs in the precision in which they compute.
    computed = as_computed(features)
    rois = rois.to(computed)
    torchvision = find_torchvision(features)
    if torchvision is not None:
        output.copy_(
            torchvision.roi_align(
                computed,
                rois,
                spatial_scale,
                aligned_height,
                aligned_width,
                sampling_ratio,
                aligned,
            )
        )
        return
    _check_rois(rois, len(features), aligned)
    regions = _regions(
        rois,
        features.shape[2:],
        (aligned_height, aligned_width),
        spatial_scale,
        sampling_ratio,
        aligned,
    )
    for out, (image, rows, row_weights, columns, column_weights) in zip(output, regions):
        # Rows first: the region's part of the map is then multiplied where it lies.
        binned = torch.bmm(row_weights.expand(len(out), -1, -1), computed[image, :, rows, columns])
        out.copy_(binned @ column_weights.T)


@torch.compiler.disable
def roi_align_backward(
    grad_output: torch.Tensor,
    rois: torch.Tensor,
    argmax_y: torch.Tensor,
    argmax_x: torch.Tensor,
    grad_input: torch.Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Adds the gradient of the map to `grad_input`, `(B, C, H, W)`, which is zero.

    Args:
        grad_output: `(K, C, aligned_height, aligned_width)`.
        rois: See `roi_align_forward`, as all others.
        argmax_y: For maxima, not used.
        argmax_x: For maxima, not used.
        grad_input: In the dtype of `grad_output`.
        aligned_height: Bins along y.
        aligned_width: Bins along x.
        spatial_scale: The scale of the map, relative to the RoIs.
        sampling_ratio: Samples per bin and axis.
        pool_mode: 1, for averages.
        aligned: Whether pixels are centred at half coordinates.

    Raises:
        NotImplementedError: `pool_mode` is 0, for maxima.
    """
    _check_mode(pool_mode)
    computed = as_computed(grad_output)
    rois = rois.to(computed)
    torchvision = find_torchvision(grad_output)
    if torchvision is not None:
        grad_input.copy_(
            torchvision._roi_align_backward(
                computed,
                rois,
                spatial_scale,
                aligned_height,
                aligned_width,
                *grad_input.shape,
                sampling_ratio,
                aligned,
            )
        )
        return
    # Many RoIs add to a pixel, so the sum is rounded once.
    total = grad_input.to(computed.dtype)
    regions = _regions(
        rois,
        grad_input.shape[2:],
        (aligned_height, aligned_width),
        spatial_scale,
        sampling_ratio,
        aligned,
    )
    for grad, (image, rows, row_weights, columns, column_weights) in zip(computed, regions):
        total[image, :, rows, columns] += row_weights.T @ (grad @ column_weights)
    if total is not grad_input:
        grad_input.copy_(total)


def _check_mode(pool_mode: int) -> None:
    if pool_mode != 1:
        raise NotImplementedError("RoIAlign's pool_mode='max' needs compiled mmcv, unlike 'avg'")


def _check_rois(rois: torch.Tensor, images: int, aligned: bool) -> None:
    """Raises a ValueError for what compiled mmcv would read foreign memory for."""
    if rois.device.type != 'cpu' or not len(rois):
        return
    if not rois.isfinite().all():
        raise ValueError('RoIAlign: RoIs are NaN or infinite, as if the model had diverged')
    first, last = rois[:, 0].aminmax()
    if first < 0 or last >= images:
        raise ValueError(
            f'RoIAlign: RoIs are of images {first:.0f} to {last:.0f}, but there are '
            f'{images}, counted from 0'
        )
    if aligned and (rois[:, 3:] < rois[:, 1:3]).any():
        raise ValueError('RoIAlign: a RoI has x2 < x1 or y2 < y1')


def _regions(
    rois: torch.Tensor,
    size: tuple[int, int],
    bins: tuple[int, int],
    scale: float,
    sampling_ratio: int,
    aligned: bool,
) -> Iterator[tuple[int, slice, torch.Tensor, slice, torch.Tensor]]:
    """Yields, for each RoI, its image, and for both axes the slice and its weights."""
    starts, ends = (rois[:, 1:] * scale - 0.5 * aligned).split(2, 1)
    sides = ends - starts if aligned else (ends - starts).clamp(min=1)
    (columns, column_weights), (rows, row_weights) = (
        _weigh(starts[:, axis], sides[:, axis], bins[1 - axis], sampling_ratio, size[1 - axis])
        for axis in (0, 1)
    )
    for index, image in enumerate(rois[:, 0].int().tolist()):
        y, x = slice(*rows[index]), slice(*columns[index])
        yield image, y, row_weights[index, :, y], x, column_weights[index, :, x]


def _weigh(
    start: torch.Tensor, side: torch.Tensor, bins: int, sampling_ratio: int, length: int
) -> tuple[list[list[int]], torch.Tensor]:
    """The part of an axis that each RoI samples, [begin, end], and its weights `(K, P, length)`.

    Positions are computed in mmcv's order, because rounding decides on which pixel they fall.
    """
    size = side / bins
    count = torch.full_like(size, sampling_ratio) if sampling_ratio > 0 else size.ceil()
    sample = torch.arange(int(count.max()) if len(count) else 0).to(size)
    bin_starts = start[:, None] + torch.arange(bins).to(size) * size[:, None]
    divisor = count.clamp(min=1)[:, None]  # a RoI without a side has no sample
    steps = (sample + 0.5) * size[:, None] / divisor
    position = bin_starts[:, :, None] + steps[:, None]
    is_sample = (sample < count[:, None])[:, None] & (position >= -1) & (position <= length)
    position = position.clamp(0, length - 1)
    low = position.floor()
    fraction = position - low
    share = is_sample / divisor[:, None]
    low = low.long()
    weights = size.new_zeros(len(size), bins, length)
    weights.scatter_add_(2, low, (1 - fraction) * share)
    weights.scatter_add_(2, (low + 1).clamp(max=length - 1), fraction * share)
    begin = start.floor().clamp(0, length - 1)
    end = ((start + side).floor() + 2).clamp(1, length)
    return torch.stack((begin, end), 1).int().tolist(), weights
