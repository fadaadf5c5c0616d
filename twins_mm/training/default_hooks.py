"""What our recipes do to keep a run right, for a config of any origin."""

from mmengine.config import Config

from ..files.shipped import CONFIGS


def add_default_hooks(cfg: Config) -> None:
    """Gives a config the default hooks of `configs/_base_/runtime.py` that it lacks.

    mmengine's logger and checkpoints keep their settings, and become ours: one process writes
    scores, and a checkpoint is whole or absent, unless it goes to another file system.
    """
    ours = Config.fromfile(CONFIGS / '_base_/runtime.py').default_hooks
    mmengines = dict(logger=dict(type='LoggerHook'), checkpoint=dict(type='CheckpointHook'))
    hooks = {**ours, **mmengines, **(cfg.get('default_hooks') or {})}
    logger, checkpoint = hooks['logger'], hooks['checkpoint']
    if logger and logger['type'] == 'LoggerHook':
        hooks['logger'] = dict(logger, type=ours.logger.type)
    backend = ours.checkpoint.backend_args
    if (
        checkpoint
        and checkpoint.get('backend_args') in (None, backend)
        and not (checkpoint.get('file_client_args'))
    ):
        is_remote = '://' in (checkpoint.get('out_dir') or '')
        hooks['checkpoint'] = dict(checkpoint, backend_args=None if is_remote else backend)
    cfg.default_hooks = hooks
