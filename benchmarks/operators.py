"""Times mmcv's RoIAlign and NMS as they are installed here, on a CPU.

Run it alternately in two environments, with mmcv-lite and with a compiled mmcv:

    python benchmarks/operators.py
"""

import time
from collections.abc import Callable

import torch
from mmcv.ops import get_compiler_version, nms, roi_align


def measure(run: Callable[[], object], repeats: int) -> float:
    """The fastest of several runs, in milliseconds, after one that isn't counted."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def make_boxes(number: int, shortest: int, longest: int) -> torch.Tensor:
    """`(N, 4)` in an image of 800 x 1344, with sides in this range."""
    corners = torch.rand(number, 2) * torch.tensor([1344 - longest, 800 - longest])
    sides = shortest + torch.rand(number, 2) * (longest - shortest)
    return torch.cat((corners, corners + sides), 1)


def time_roi_align(shortest: int, longest: int) -> None:
    """512 RoIs on P2 of two images."""
    features = torch.randn(2, 256, 200, 336, requires_grad=True)
    rois = torch.cat((torch.arange(512)[:, None] % 2, make_boxes(512, shortest, longest)), 1)

    def forward() -> torch.Tensor:
        return roi_align(features, rois, 7, 0.25, 0, 'avg', True)

    pooled = forward()
    grad = torch.randn_like(pooled)
    backward = measure(lambda: torch.autograd.grad(pooled, features, grad, retain_graph=True), 5)
    print(
        f'RoIAlign of {shortest} to {longest} pixels: forward {measure(forward, 5):.0f} ms, '
        f'backward {backward:.0f} ms'
    )


def time_nms(number: int) -> None:
    """As between proposals."""
    boxes, scores = make_boxes(number, 10, 110), torch.rand(number)
    print(f'NMS of {number} boxes: {measure(lambda: nms(boxes, scores, 0.7), 9):.1f} ms')


if __name__ == '__main__':
    torch.manual_seed(0)
    print(f'mmcv compiled by {get_compiler_version()}, {torch.get_num_threads()} threads')
    for sides in ((8, 80), (8, 200), (100, 400)):
        time_roi_align(*sides)
    for number in (1000, 5000):
        time_nms(number)
