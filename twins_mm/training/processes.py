"""Several processes, on GPUs or a CPU."""
import os

import torch
from mmengine.device import get_device
from mmengine.dist import init_dist, is_distributed

from ..errors import UserError


def start_process_group(launcher: str) -> None:
    """Connects the processes that a launcher started; each of them calls it.

    Raises:
        UserError: No launcher started this process, or it can't start processes without a GPU.
    """
    if launcher == 'none' or is_distributed():
        return
    if launcher == 'pytorch' and 'RANK' not in os.environ:
        raise UserError('--launcher pytorch is for torchrun: torchrun --nproc_per_node N TOOL ...')
    if get_device() != 'cpu':
        init_dist(launcher)
    elif launcher == 'pytorch':
        torch.distributed.init_process_group('gloo')  # mmengine would look for a GPU
    else:
        raise UserError(f'--launcher {launcher} needs a GPU. On a CPU, use torchrun: '
                        'srun torchrun --nproc_per_node N TOOL ... --launcher pytorch')
