"""Tiny architectures of every family, and of any pattern."""

from twins_mm.benchmark.plain_stvit import TINY_STVIT
from twins_mm.benchmark.plain_twins import TINY_ARCHS as TWINS

TINY_ARCHS = dict(TWINS, STViT=TINY_STVIT)
FIELDS = dict(L='window_sizes', G='sr_ratios')


def tiny_arch(patterns):
    """With as many stages as patterns, and with what their attentions need."""
    unused = {FIELDS[kind] for kind in FIELDS if kind not in ''.join(patterns)}
    return dict(
        {
            name: values[: len(patterns)]
            for name, values in TINY_ARCHS['TwinsSVT'].items()
            if name not in unused
        },
        patterns=patterns,
    )
