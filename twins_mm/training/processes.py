"""Several processes, on GPUs or a CPU, also after torchrun has restarted them."""

import os
import subprocess

import torch
from mmengine.device import get_device
from mmengine.dist import init_dist, is_distributed

from ..errors import UserError

# The command of each launcher, and what its variables are in torchrun's.
_LAUNCHERS = dict(
    pytorch=(
        'torchrun --nproc_per_node N TOOL ...',
        dict(RANK='RANK', WORLD_SIZE='WORLD_SIZE', LOCAL_RANK='LOCAL_RANK'),
    ),
    slurm=(
        'srun --ntasks-per-node N python TOOL ...',
        dict(RANK='SLURM_PROCID', WORLD_SIZE='SLURM_STEP_NUM_TASKS', LOCAL_RANK='SLURM_LOCALID'),
    ),
    mpi=(
        'mpirun -n N -x MASTER_ADDR=HOST -x MASTER_PORT=29500 python TOOL ...',
        dict(
            RANK='OMPI_COMM_WORLD_RANK',
            WORLD_SIZE='OMPI_COMM_WORLD_SIZE',
            LOCAL_RANK='OMPI_COMM_WORLD_LOCAL_RANK',
            MASTER_ADDR='MASTER_ADDR',
            MASTER_PORT='MASTER_PORT',
        ),
    ),
)
_stores = []


def find_rank(launcher: str) -> str:
    """Finds this process's rank among those that were launched; sets torchrun's variables.

    Returns the launcher for the config, 'pytorch' or 'none'. mmengine's own way with srun needs a
    GPU, and takes the same port for every job of a machine.

    Raises:
        UserError: This launcher did not start the process, torchrun did and is not named, or no GPU
            is left for it.
    """
    if launcher == 'none':
        if 'TORCHELASTIC_RUN_ID' in os.environ and os.environ['WORLD_SIZE'] != '1':
            raise UserError(
                f'torchrun started {os.environ["WORLD_SIZE"]} processes, which would '
                'not know of each other: add --launcher pytorch'
            )
        return launcher
    command, variables = _LAUNCHERS[launcher]
    try:
        os.environ.update({ours: os.environ[theirs] for ours, theirs in variables.items()})
    except KeyError as error:
        raise UserError(
            f'--launcher {launcher} is for processes of {command.split()[0]}, which '
            f'sets {error}: {command} --launcher {launcher}'
        ) from None
    if launcher == 'slurm':
        nodes = subprocess.check_output(
            ['scontrol', 'show', 'hostnames', os.environ['SLURM_STEP_NODELIST']], text=True
        )
        os.environ.setdefault('MASTER_ADDR', nodes.split()[0])
        os.environ.setdefault('MASTER_PORT', str(20000 + int(os.environ['SLURM_JOB_ID']) % 10000))
    local_rank, gpus = int(os.environ['LOCAL_RANK']), torch.cuda.device_count()
    if 0 < gpus <= local_rank:
        raise UserError(
            f'Process {local_rank + 1} of this machine has no GPU: it sees {gpus}. Start '
            'one process a GPU; with Slurm, reserve them by --gres or '
            '--gpus-per-node, which let each process see all.'
        )
    return 'pytorch'


def is_first_process() -> bool:
    """Tells which process speaks for all, also before they are connected."""
    return os.environ.get('RANK', '0') == '0'


def start_process_group(launcher: str) -> None:
    """Connects the processes; each of them calls it, with what `find_rank` returned."""
    if launcher == 'none' or is_distributed():
        return
    use_new_store()
    if get_device() == 'cpu':
        torch.distributed.init_process_group('gloo')  # mmengine would look for a GPU
    else:
        init_dist(launcher)


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
