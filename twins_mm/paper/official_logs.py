"""What the authors' UperNet logs say, and how closely a run can be compared with them.

The logs are in the authors' repository. For the other recipes none is published.
"""

from ..report.reference import PublishedLog

VALIDATION_INTERVAL = 16_000
# Each of the losses is a mean of 50 iterations.
LOSS_ITERATIONS = (50, 1500, 15_950, 79_950, 159_950)
# A factor of 1.13: two standard deviations of the error with which the neighbours of an inner point
# predict it.
LOSS_TOLERANCE = 0.12


def _log(batch: int, losses: tuple[float, ...], mious: tuple[float, ...]) -> PublishedLog:
    return PublishedLog(batch, LOSS_ITERATIONS, losses, LOSS_TOLERANCE, VALIDATION_INTERVAL, mious)


LOGS = {
    'pcpvt_s': _log(
        32,
        (5.69507, 1.73630, 0.76189, 0.41379, 0.31791),
        (40.77, 42.88, 44.02, 45.22, 45.64, 46.17, 46.24, 46.42, 46.17, 46.21),
    ),
    'pcpvt_b': _log(
        16,
        (5.62736, 1.80126, 0.71790, 0.35885, 0.25249),
        (41.73, 43.13, 44.71, 46.45, 46.23, 46.38, 46.34, 47.16, 47.49, 47.78),
    ),
    'pcpvt_l': _log(
        16,
        (5.57776, 1.71224, 0.72395, 0.31414, 0.20545),
        (42.61, 44.18, 44.95, 46.38, 47.44, 47.31, 47.41, 47.75, 48.26, 48.59),
    ),
    'svt_s': _log(
        16,
        (5.71903, 2.01404, 0.92676, 0.52172, 0.42724),
        (39.71, 42.05, 42.75, 43.73, 44.09, 44.63, 45.14, 45.29, 45.73, 46.24),
    ),
    'svt_b': _log(
        16,
        (5.71899, 1.68551, 0.74716, 0.37849, 0.24990),
        (40.08, 44.45, 44.53, 46.60, 46.28, 47.36, 47.07, 48.13, 47.31, 47.69),
    ),
    'svt_l': _log(
        16,
        (5.65170, 1.75587, 0.68451, 0.32161, 0.21368),
        (43.40, 45.19, 47.36, 46.96, 46.74, 47.82, 48.58, 48.44, 48.66, 48.77),
    ),
}
