"""Checks of checkpoints that runs load."""
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ..checkpoints.trained import check_heads
from ..errors import UserError


@HOOKS.register_module()
class CheckpointFitHook(Hook):
    """Refuses a checkpoint that this config can't resume or evaluate, before it is loaded.

    mmengine would evaluate heads with random weights. Twins backbones check their own weights.

    Args:
        heads: Whether the checkpoint must contain all weights except a Twins backbone's.
    """

    def __init__(self, heads: bool = False):
        self.heads = heads

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if runner._resume and not {'meta', 'message_hub', 'optimizer'} <= checkpoint.keys():
            raise UserError('This checkpoint contains weights, but no training state to resume. '
                            'To start from the weights: --cfg-options load_from=CHECKPOINT')
        if self.heads:
            check_heads(checkpoint, runner.model)
