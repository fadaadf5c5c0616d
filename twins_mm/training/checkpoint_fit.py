"""Checks of checkpoints that runs load."""

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ..checkpoints.fit import fit_model
from ..checkpoints.read import weights_of
from ..errors import UserError
from ..models.backbone import Backbone


@HOOKS.register_module()
class CheckpointFitHook(Hook):
    """Refuses a checkpoint that doesn't fit the model, before it is loaded.

    mmengine would only log the names, and go on with random weights. Without a backbone of ours,
    only heads and what a run needs to resume are checked.

    Args:
        heads: Whether the checkpoint must contain all weights, as it must for an evaluation.
    """

    def __init__(self, heads: bool = False):
        self.heads = heads

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if runner._resume and not {'meta', 'message_hub', 'optimizer'} <= checkpoint.keys():
            raise UserError(
                'This checkpoint contains weights, but no training state to resume. '
                'To start from the weights: --cfg-options load_from=CHECKPOINT'
            )
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        fitted = fit_model(weights_of(checkpoint), model, self.heads)
        if any(isinstance(module, Backbone) for module in model.modules()):
            checkpoint['state_dict'] = fitted
