"""Multi-scale deformable attention: Zhu et al., "Deformable DETR", ICLR 2021.

Letters in shapes: B images, Q queries, N heads with D channels, L feature maps, P points.
"""

import torch
from torch.nn import functional as F

from .precision import as_computed


@torch.compiler.disable
def ms_deform_attn_forward(
    value: torch.Tensor,
    shapes: torch.Tensor,
    starts: torch.Tensor,
    locations: torch.Tensor,
    weights: torch.Tensor,
    im2col_step: int,
) -> torch.Tensor:
    """`(B, Q, N * D)`: what each query takes from its points.

    Args:
        value: `(B, T, N, D)`, the T tokens of all maps.
        shapes: `(L, 2)`: height and width of each map.
        starts: `(L,)`: where each map starts among the tokens; not used, it follows from `shapes`.
        locations: `(B, Q, N, L, P, 2)`: x and y of the points, from 0 to 1 across the map.
        weights: `(B, Q, N, L, P)`.
        im2col_step: Images that compiled mmcv computes at once; not used.
    """
    return _attend(shapes, *map(as_computed, (value, locations, weights))).to(value.dtype)


@torch.compiler.disable
def ms_deform_attn_backward(
    value: torch.Tensor,
    shapes: torch.Tensor,
    starts: torch.Tensor,
    locations: torch.Tensor,
    weights: torch.Tensor,
    grad_output: torch.Tensor,
    grad_value: torch.Tensor,
    grad_locations: torch.Tensor,
    grad_weights: torch.Tensor,
    im2col_step: int,
) -> None:
    """Fills the gradients of `value`, `locations` and `weights`; see `ms_deform_attn_forward`."""
    with torch.enable_grad():
        leaves = [
            as_computed(tensor.detach()).requires_grad_() for tensor in (value, locations, weights)
        ]
        output = _attend(shapes, *leaves)
    grads = torch.autograd.grad(output, leaves, as_computed(grad_output))
    for filled, grad in zip((grad_value, grad_locations, grad_weights), grads):
        filled.copy_(grad)


def _attend(
    shapes: torch.Tensor, value: torch.Tensor, locations: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    sizes = shapes.tolist()
    grids = (2 * locations - 1).transpose(1, 2).flatten(0, 1)  # (B * N, Q, L, P, 2)
    maps = value.split([height * width for height, width in sizes], 1)
    taken = torch.stack(
        [
            F.grid_sample(
                tokens.permute(0, 2, 3, 1).flatten(0, 1).unflatten(2, size),
                grids[:, :, level],
                align_corners=False,
            )  # (B * N, D, Q, P)
            for level, (tokens, size) in enumerate(zip(maps, sizes))
        ],
        -2,
    )
    weights = weights.transpose(1, 2).flatten(0, 1)[:, None]  # (B * N, 1, Q, L, P)
    attended = (taken * weights).sum((-2, -1))
    return attended.unflatten(0, (len(value), -1)).permute(0, 3, 1, 2).flatten(2)
