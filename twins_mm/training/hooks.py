"""Hooks of runs."""
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import nn

from ..checkpoints.files import weights_of
from ..checkpoints.loading import list_differences
from ..errors import UserError
from ..models.twins import Twins


@HOOKS.register_module()
class CheckpointFitHook(Hook):
    """Refuses a checkpoint that this config can't resume or evaluate, before it is loaded.

    mmengine would evaluate heads of random weights. A Twins backbone checks itself.

    Args:
        heads: Everything but a Twins backbone has to be in the checkpoint.
    """

    def __init__(self, heads: bool = False):
        self.heads = heads

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if runner._resume and not {'meta', 'message_hub', 'optimizer'} <= checkpoint.keys():
            raise UserError('There are weights in this checkpoint, but no state of a training run '
                            'to resume. To start from them: --cfg-options load_from=CHECKPOINT')
        if self.heads:
            check_heads(checkpoint, runner.model)


def check_heads(checkpoint: dict, model: nn.Module) -> None:
    """Refuses a checkpoint that lacks anything of the model; a Twins backbone checks itself.

    Raises:
        UserError: The checkpoint is not one of this model.
    """
    backbones = tuple(f'{name}.'.removeprefix('module.')
                      for name, module in model.named_modules() if isinstance(module, Twins))

    def without_backbones(weights: dict) -> dict:
        plain = {name.removeprefix('module.'): value for name, value in weights.items()}
        return {name: value for name, value in plain.items()
                if not name.startswith(backbones) and 'num_batches_tracked' not in name}

    weights, expected = map(without_backbones, (weights_of(checkpoint), model.state_dict()))
    unfit = list_differences({name: weights[name] for name in weights.keys() & expected},
                             expected)
    if unfit:
        raise UserError('The checkpoint is not one of this config: ' + '; '.join(unfit))
