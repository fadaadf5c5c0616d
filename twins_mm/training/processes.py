"""Several processes on a CPU, as on GPUs."""
import torch
from mmengine.config import Config
from mmengine.device import get_device


def start_process_group(cfg: Config) -> None:
    """Connects the processes of a run without a GPU; with GPUs mmengine does so itself.

    Called in each process that a launcher started, before mmengine's Runner is built: mmengine's
    own way sets a CUDA device first.
    """
    if cfg.get('launcher', 'none') == 'none' or get_device() != 'cpu':
        return
    torch.distributed.init_process_group('gloo')
    cfg.model_wrapper_cfg = dict(
        dict(type='MMDistributedDataParallel', broadcast_buffers=False,
             find_unused_parameters=cfg.get('find_unused_parameters', False)),
        **dict(cfg.get('model_wrapper_cfg') or {}, device_ids=None))
