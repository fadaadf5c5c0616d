"""What was measured side by side, put together."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, quantiles

import torch

from ..paper.flops import count_macs
from .measure import Case, Measurement, matmul_rate
from .peers import build_ours

OURS = 'twins_mm'


@dataclass
class Result:
    """One peer's seconds a step and peak of added memory in bytes, or why there are none."""

    peer: str
    seconds: float | None
    memory: int
    error: str


@dataclass
class Group:
    """Peers that were measured side by side.

    Attributes:
        size: Batch, height and width.
        lower_bound: Seconds that a step's operations take at the rate of a large product of
            matrices, measured in the same rounds. A step of training counts as three inferences.
        noise: How much that rate varied: its interquartile range over its median.
    """

    variant: str
    training: bool
    precision: str
    size: tuple[int, int, int]
    lower_bound: float
    noise: float
    rows: list[Result]

    @property
    def title(self) -> str:
        return (
            f'{self.variant}, {"training" if self.training else "inference"}, '
            f'{" x ".join(map(str, self.size))}, {self.precision}'
        )

    def row_of(self, peer: str) -> Result | None:
        return next((row for row in self.rows if row.peer == peer and row.seconds), None)


def summarise(results: Sequence[tuple[Case, Measurement]]) -> Group:
    """Makes cases that were measured side by side a group; the first of them is 'matmul'."""
    (matmul, products), *others = results
    case = others[0][0]
    batch, height, width = case.size
    with torch.device('meta'):
        macs = count_macs(build_ours(case.variant).eval(), torch.empty(1, 3, height, width))
    operations = 2 * batch * (macs.layers + macs.attention) * (3 if case.training else 1)
    low, middle, high = quantiles(products.seconds, n=4)
    return Group(
        case.variant,
        case.training,
        case.precision,
        case.size,
        operations / matmul_rate(matmul, middle),
        (high - low) / middle,
        [
            Result(
                case.peer,
                median(result.seconds) if result.seconds else None,
                result.memory,
                result.error,
            )
            for case, result in others
        ],
    )
