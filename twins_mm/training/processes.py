"""Several processes on a CPU, as on GPUs, and after torchrun has restarted them."""
import os

import torch
from mmengine.config import Config
from mmengine.device import get_device

_stores = []


def start_process_group(cfg: Config) -> None:
    """Connects the processes of a run without a GPU; with GPUs mmengine does so afterwards.

    Called in each process that a launcher started, before mmengine's Runner is built: mmengine's
    own way sets a CUDA device first.
    """
    if cfg.get('launcher', 'none') == 'none':
        return
    _use_new_store()
    if get_device() != 'cpu':
        return
    torch.distributed.init_process_group('gloo')
    cfg.model_wrapper_cfg = dict(
        dict(type='MMDistributedDataParallel', broadcast_buffers=False,
             find_unused_parameters=cfg.get('find_unused_parameters', False)),
        **dict(cfg.get('model_wrapper_cfg') or {}, device_ids=None))


def _use_new_store() -> None:
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
