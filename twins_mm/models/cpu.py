"""What is faster on a CPU, with the same results; a reader with a GPU can skip it.

None of it is in a graph that is compiled, traced or exported, and hooks of a layer see the layer as
it is written.
"""

from collections.abc import Callable
from functools import partial
from itertools import repeat

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

# torch 2.1 only has it under a private name.
_is_compiling = getattr(torch.compiler, 'is_compiling', None) or torch._utils.is_compiling
# torch gives larger convolutions of one image to oneDNN, 1 x 1 ones if it has several threads.
_ONEDNN_SIZE = 20480
# For hidden activations. With 4 MiB or with 32, training takes a tenth longer.
HIDDEN_BYTES = 16 * 2**20
# For the weights of attention. 1 MiB and 16 MiB are a tenth slower.
WEIGHT_BYTES = 4 * 2**20
# Up to so many, such as a window's 49, their weights are kept: computing them twice costs a tenth.
FEW_KEYS = 64


def is_eager_on_cpu(x: torch.Tensor) -> bool:
    """Whether `x` is computed on a CPU and now: not compiled, traced or exported."""
    return x.device.type == 'cpu' and not (_is_compiling() or torch.jit.is_tracing())


def is_observed(module: nn.Module) -> bool:
    """Whether hooks of its layers would see that it is computed otherwise than it is written."""
    return any(layer._forward_hooks or layer._forward_pre_hooks for layer in module.children())


def linear(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """`layer(x)`, of a plain nn.Linear as in `multiply`.

    Not a subclass with a `forward` of its own: `quantize_dynamic(model, {nn.Linear})` looks for
    this very class, and what it puts in its place is called.
    """
    if type(layer) is nn.Linear and _prefers_onednn(x) and _has_plain_call(layer):
        return _convolve(x, layer.weight, layer.bias)
    return layer(x)


def multiply(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """`F.linear`; in float32 on a CPU by oneDNN's 1 x 1 convolution, which is faster than MKL."""
    return (_convolve if _prefers_onednn(x) else F.linear)(x, weight, bias)


def _convolve(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    tokens = x.reshape(1, -1, 1, x.shape[-1]).permute(0, 3, 1, 2)
    tokens = F.conv2d(tokens, weight[:, :, None, None], bias)
    return tokens.permute(0, 2, 3, 1).reshape(*x.shape[:-1], len(weight))


def _prefers_onednn(x: torch.Tensor) -> bool:
    return (
        is_eager_on_cpu(x)
        and x.dtype == torch.float32
        and x.numel() > _ONEDNN_SIZE
        and torch.get_num_threads() > 1
        and torch.backends.mkldnn.is_available()
    )


def _has_plain_call(layer: nn.Module) -> bool:
    """Whether calling a layer does nothing but its class's `forward`."""
    return 'forward' not in vars(layer) and not any(
        getattr(layer, f'_{kind}_hooks') or getattr(nn.modules.module, f'_global_{kind}_hooks')
        for kind in ('forward_pre', 'forward', 'backward_pre', 'backward')
    )


def gelu(hidden: torch.Tensor, mlp: nn.Module) -> torch.Tensor:
    """GELU, in place where nothing is kept: a CPU pays for another large map with page faults."""
    if torch.is_grad_enabled() or not is_eager_on_cpu(hidden) or is_observed(mlp):
        return F.gelu(hidden)
    return torch.ops.aten.gelu_(hidden)


def run_in_pieces(
    mlp: nn.Module, run: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, hidden_dim: int
) -> torch.Tensor:
    """`run(x)` of an MLP's tokens, `(..., C)`, piece by piece if a CPU's cache can't hold all."""
    if is_eager_on_cpu(x) and not is_observed(mlp):
        parts = x.flatten(0, -2).split(max(1, HIDDEN_BYTES // (hidden_dim * x.element_size())))
        if len(parts) > 1:
            return torch.cat([run(part) for part in parts]).view(x.shape)
    return run(x)


def attend_in_pieces(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None = None
) -> torch.Tensor:
    """Attention of `(B, N, T, D)`, with the mask of `attend`; its weights fit a cache.

    Those of many keys are computed again in the backward pass.
    """
    _, heads, queries, _ = q.shape
    keys, run = k.shape[-2], _attend
    if keys > FEW_KEYS and torch.is_grad_enabled() and any(x.requires_grad for x in (q, k, v)):
        run = partial(checkpoint, run, use_reentrant=False, preserve_rng_state=False)
    rows = max(1, WEIGHT_BYTES // (heads * keys * q.element_size()))
    images = max(1, rows // queries)
    several = zip(
        *(x.split(images) for x in (q, k, v)), repeat(None) if mask is None else mask.split(images)
    )
    # As the kernel returns it: tokens before heads in memory, so that merging heads copies nothing.
    return torch.cat(
        [
            torch.cat([run(part, *others).transpose(1, 2) for part in queries.split(rows, -2)], 1)
            for queries, *others in several
        ]
    ).transpose(1, 2)


def _attend(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None
) -> torch.Tensor:
    weights = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    if mask is not None:
        weights = weights.masked_fill(~mask, -torch.inf)
    return weights.softmax(-1) @ v


def lacks_bfloat16_attention(q: torch.Tensor) -> bool:
    """Whether this CPU multiplies bfloat16, but not in torch's kernel for attention.

    That kernel uses AMX, and else leaves products to MKL, which has none in bfloat16 for AMD's
    processors: there it takes as long as in float32. oneDNN, which computes `@`, has them.
    """
    cpu = torch.cpu  # older torch doesn't know what the CPU has
    return (
        is_eager_on_cpu(q)
        and q.dtype == torch.bfloat16
        and getattr(cpu, '_is_avx512_bf16_supported', bool)()
        and not getattr(cpu, '_is_amx_tile_supported', bool)()
    )
