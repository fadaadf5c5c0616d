"""Architectures for tests where the size does not matter: of every family, and of any pattern."""

TINY: dict[str, tuple] = dict(
    embed_dims=(8, 16, 24, 32),
    depths=(2, 2, 3, 2),
    num_heads=(1, 2, 3, 4),
    mlp_ratios=(2, 2, 2, 2),
    sr_ratios=(8, 4, 2, 1),
)
TINY_ARCHS: dict[str, dict[str, tuple]] = dict(
    TwinsPCPVT=TINY,
    TwinsSVT=dict(TINY, window_sizes=(7, 7, 7, 7)),
    STViT=dict(
        embed_dims=(8, 16, 24, 32),
        depths=(2, 2, 3, 2),
        num_heads=(1, 2, 3, 4),
        mlp_ratios=(2, 2, 2, 2),
        grid_sizes=(8, 4, 1, 1),
        layer_scales=(0, 0, 0.5, 0.5),
    ),
)
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
