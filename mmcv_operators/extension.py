"""What `mmcv._ext` has to have; mmcv fills outputs that it made itself."""

from collections.abc import Callable
from typing import Any, NoReturn

from .deformable_attention import ms_deform_attn_backward, ms_deform_attn_forward
from .focal_loss import sigmoid_focal_loss_backward, sigmoid_focal_loss_forward
from .kernels import name_backend
from .nms import nms
from .roi_align import roi_align_backward, roi_align_forward

__all__ = [
    'get_compiler_version',
    'get_compiling_cuda_version',
    'ms_deform_attn_backward',
    'ms_deform_attn_forward',
    'nms',
    'roi_align_backward',
    'roi_align_forward',
    'sigmoid_focal_loss_backward',
    'sigmoid_focal_loss_forward',
]


def get_compiler_version() -> str:
    """What computes on CPUs, for mmcv's `collect_env`."""
    return f'none (operators by {name_backend("cpu")})'


def get_compiling_cuda_version() -> str:
    """What computes on CUDA, for mmcv's `collect_env`."""
    return f'none (operators by {name_backend("cuda")})'


def __getattr__(name: str) -> Callable[..., NoReturn]:
    """Any other operator: `mmcv.ops` wants to find it, and only a call fails."""
    if name.startswith('__'):
        raise AttributeError(name)

    def missing(*_: Any, **__: Any) -> NoReturn:
        raise NotImplementedError(
            f'{name} is an operator of compiled mmcv only: pip uninstall -y mmcv-lite && '
            'MMCV_WITH_OPS=1 pip install --no-build-isolation --no-cache-dir mmcv==2.1.0'
        )

    return missing
