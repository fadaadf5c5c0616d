"""Several processes, on GPUs or a CPU, also after torchrun has restarted them."""
import os

import torch
from mmengine.device import get_device
from mmengine.dist import init_dist, is_distributed

from ..errors import UserError

_stores = []


def start_process_group(launcher: str) -> None:
    """Connects the processes that a launcher started; each of them calls it.

    Raises:
        UserError: No launcher started this process, or it can't start processes without a GPU.
    """
    if launcher == 'none' or is_distributed():
        return
    if launcher == 'pytorch' and 'RANK' not in os.environ:
        raise UserError('--launcher pytorch is for torchrun: torchrun --nproc_per_node N TOOL ...')
    use_new_store()
    if get_device() != 'cpu':
        init_dist(launcher)
    elif launcher == 'pytorch':
        torch.distributed.init_process_group('gloo')  # mmengine would look for a GPU
    else:
        raise UserError(f'--launcher {launcher} needs a GPU. On a CPU, use torchrun: '
                        'srun torchrun --nproc_per_node N TOOL ... --launcher pytorch')


def use_new_store() -> None:
    """Lets processes that torchrun restarted meet at a new store.

    In torchrun's, they find the addresses of the processes that died and can't connect:
    https://github.com/pytorch/pytorch/issues/135712. Machines may count restarts differently, so
    this is for one machine.
    """
    attempt = os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')
    shared = os.environ.get('TORCHELASTIC_USE_AGENT_STORE') == 'True'
    if attempt == '0' or not shared or os.environ['GROUP_WORLD_SIZE'] != '1':
        return
    address, port = os.environ['MASTER_ADDR'], int(os.environ['MASTER_PORT'])
    old = torch.distributed.TCPStore(address, port, is_master=False)
    if os.environ['RANK'] == '0':
        new = torch.distributed.TCPStore(address, 0, is_master=True, wait_for_workers=False)
        _stores.append(new)  # it serves as long as it is referenced
        old.set(f'port_of_attempt_{attempt}', str(new.port))
    os.environ['MASTER_PORT'] = old.get(f'port_of_attempt_{attempt}').decode()
