"""Hand-made working directories like mmengine's."""

import json
import os

from mmengine.config import Config

LOG = """\
2026/11/20 10:00:00 - mmengine - INFO -
------------------------------------------------------------
System environment:
    sys.platform: linux
    Python: 3.11.7 (main) [GCC 12.2.0]
    GPU 0,1: A card
    PyTorch: 2.13.0
    PyTorch compiling details: PyTorch built with:
  - GCC 13.3
    OpenCV: 4.11.0

Runtime environment:
    seed: 0
    Distributed training: True
    GPU number: {processes}
------------------------------------------------------------

2026/11/20 10:00:01 - mmengine - INFO - Config:
model = 1
2026/11/20 10:00:02 - mmengine - INFO - Epoch(train)  [1][  50/{epoch_length}]  lr: 1e-4
"""


def write_start(
    folder, config, lines, start='20261120_100000', processes=8, epoch_length=7330, **changes
):
    """One start of a run in `folder`: its config, log and the lines of its scalars.json."""
    cfg = Config.fromfile(config)
    cfg.merge_from_dict(changes)
    data = folder / start / 'vis_data'
    data.mkdir(parents=True)
    cfg.dump(data / 'config.py')
    cfg.dump(folder / f'{config.stem}.py')
    (folder / start / f'{start}.log').write_text(
        LOG.format(processes=processes, epoch_length=epoch_length)
    )
    if lines:
        (data / 'scalars.json').write_text(''.join(json.dumps(line) + '\n' for line in lines))
        # A minute apart, so that the order of two runs doesn't depend on the clock.
        os.utime(data / 'scalars.json', (stamp := 60 * int(start[-6:]), stamp))
    return folder


def write_test(folder, config, metrics, checkpoint, tta, start='20261121_100000'):
    """The results of tools/test.py."""
    cfg = Config.fromfile(config)
    model = dict(cfg.tta_model, module=cfg.model) if tta else cfg.model
    cfg = Config({**cfg, 'model': model, 'load_from': checkpoint})
    data = folder / start / 'vis_data'
    data.mkdir(parents=True)
    cfg.dump(data / 'config.py')
    cfg.dump(folder / f'{config.stem}.py')
    (folder / start / f'{start}.json').write_text(json.dumps(metrics))


def train_line(step, loss, lr, **more):
    return dict(
        lr=lr, data_time=0.01, loss=loss, time=0.4, iter=step, memory=9000, step=step, **more
    )
