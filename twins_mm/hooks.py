"""Training hooks."""
import numpy as np
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner, set_random_seed


@HOOKS.register_module()
class StepSeedHook(Hook):
    """Seeds each training step from the run's seed, the rank and the iteration.

    So a resumed run draws the drop path and the samples of proposals that a run without a break
    would have drawn, and its losses are the same, step for step. Data workers must be processes
    of their own (`num_workers >= 1`), and for an epoch-based schedule not persistent, because
    theirs is the randomness of augmentation.
    """
    priority = 'VERY_HIGH'

    def before_train_epoch(self, runner: Runner) -> None:
        self._seed(runner)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        self._seed(runner)

    @staticmethod
    def _seed(runner: Runner) -> None:
        entropy = (runner.seed, runner.rank, runner.iter)
        set_random_seed(int(np.random.SeedSequence(entropy).generate_state(1)[0]))
