"""Hooks of runs."""
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ..checkpoints.trained import check_heads
from ..errors import UserError


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
