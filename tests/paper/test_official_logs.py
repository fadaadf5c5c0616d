import numpy as np
import pytest

from twins_mm.paper.official_logs import LOGS, LOSS_ITERATIONS, LOSS_TOLERANCE
from twins_mm.tasks import TASKS


def test_final_and_best_validations():
    """As the summaries of the logs have them."""
    assert {name: (log.mious[-1], max(log.mious)) for name, log in LOGS.items()} == {
        'pcpvt_s': (46.21, 46.42),
        'pcpvt_b': (47.78, 47.78),
        'pcpvt_l': (48.59, 48.59),
        'svt_s': (46.24, 46.24),
        'svt_b': (47.69, 48.13),
        'svt_l': (48.77, 48.77),
    }
    assert all(len(log.mious) == 10 and len(log.losses) == 5 for log in LOGS.values())


def test_loss_between_two_points_is_their_geometric_mean_at_the_geometric_mean():
    log = LOGS['svt_s']
    middles = [(a * b) ** 0.5 for a, b in zip(LOSS_ITERATIONS, LOSS_ITERATIONS[1:])]
    expected = [(a * b) ** 0.5 for a, b in zip(log.losses, log.losses[1:])]
    assert log.loss_at(middles) == pytest.approx(expected)
    assert log.loss_at(LOSS_ITERATIONS) == pytest.approx(log.losses)


@pytest.mark.parametrize(
    ('iteration', 'miou'),
    [
        (16_000, 39.71),
        (32_000, 42.05),
        (160_000, 46.24),
        (0, None),
        (15_950, None),
        (176_000, None),
    ],
)
def test_miou_is_known_at_validations_alone(iteration, miou):
    assert LOGS['svt_s'].miou_at(iteration) == miou


def test_tolerance_of_miou():
    """Two standard deviations of the difference between two runs at one iteration.

    Second differences of white noise have 6 times its variance, a difference of two runs twice it.
    """
    differences = np.diff([log.mious for log in LOGS.values()], n=2)
    tolerance = TASKS['semantic_segmentation'].chance
    assert pytest.approx(2 * np.sqrt(2 * np.mean(differences**2) / 6), abs=0.05) == tolerance


def test_tolerance_of_the_loss():
    misses = []
    for log in LOGS.values():
        for i in (1, 2, 3):
            (x0, x, x1), (y0, y, y1) = (
                np.log(LOSS_ITERATIONS[i - 1 : i + 2]),
                np.log(log.losses[i - 1 : i + 2]),
            )
            misses.append(y - (y0 * (x1 - x) + y1 * (x - x0)) / (x1 - x0))
    assert pytest.approx(2 * np.sqrt(np.mean(np.square(misses))), abs=0.005) == LOSS_TOLERANCE
