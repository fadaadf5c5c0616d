"""What a run is compared with."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from .nearest_recipe import Recipe


class PublishedLog(NamedTuple):
    """What is known of somebody's training run.

    Attributes:
        batch: Images in an iteration.
        iterations: Where the loss is known; the first is in the warm-up.
        losses: Total loss at `iterations`.
        loss_tolerance: How closely `loss_at` is known, as a natural logarithm.
        validation_interval: Iterations from one validation to the next.
        mious: mIoU of each validation, in percent.
    """

    batch: int
    iterations: tuple[int, ...]
    losses: tuple[float, ...]
    loss_tolerance: float
    validation_interval: int
    mious: tuple[float, ...]

    def loss_at(self, iterations: Sequence[float]) -> np.ndarray:
        """The loss between the points that are known, straight if both axes are logarithmic."""
        return np.exp(np.interp(np.log(iterations), np.log(self.iterations), np.log(self.losses)))

    def miou_at(self, iteration: int) -> float | None:
        """mIoU of the validation at `iteration`; None if there was none."""
        number, rest = divmod(iteration, self.validation_interval)
        return None if rest or not 0 < number <= len(self.mious) else self.mious[number - 1]


class Reference(NamedTuple):
    """A recipe, and what its authors say about its results.

    Attributes:
        recipe: The config of this repository that is closest to the run's.
        results: Final metrics in percent, by their names in a run's log; empty if none is known.
        log: The authors' log; None if they published none.
    """

    recipe: Recipe
    results: Mapping[str, float] = {}
    log: PublishedLog | None = None
