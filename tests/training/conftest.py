import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent.parent
TORCHRUN = '-m', 'torch.distributed.run', '--nproc_per_node', '2'

CONFIG = """\
_base_ = '{base}'
custom_imports = dict(imports=['twins_mm', 'small_run'], allow_failed_imports=False)
default_scope = 'mmengine'
model = dict(type='SlowModel', seconds=0.05)
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9))
param_scheduler = [dict(type='LinearLR', start_factor=0.1, end=30, by_epoch=False)]
default_hooks = dict(
    logger=dict(interval=1), checkpoint=dict(save_best=None, interval={interval}, {by_epoch}))
log_processor = dict(window_size=1, {by_epoch})
train_cfg = dict({by_epoch}, {end})
train_dataloader = dict(
    batch_size=2, num_workers=1, persistent_workers=True, dataset=dict(type='NumberedImages'),
    collate_fn=dict(type='pseudo_collate'), sampler=dict(type={sampler!r}, shuffle=True))
"""


class Training:
    """A `tools/train.py` in a process of its own; `output` is what it has printed."""

    def __init__(self, folder, flags, launcher=()):
        self.log = folder / f'output_{len(list(folder.glob("output_*")))}.txt'
        with self.log.open('w') as file:
            self.process = subprocess.Popen(
                [sys.executable, *launcher, str(REPOSITORY / 'tools/train.py'), *map(str, flags)],
                cwd=folder,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={
                    **os.environ,
                    'OMP_NUM_THREADS': '1',
                    'PYTHONPATH': os.pathsep.join([str(REPOSITORY), str(Path(__file__).parent)]),
                },
            )

    @property
    def output(self):
        return self.log.read_text()

    def wait_for(self, ready, seconds=90):
        """Waits until the text is in the output, or until the function returns true."""
        end = time.monotonic() + seconds
        while not (ready() if callable(ready) else ready in self.output):
            assert self.process.poll() is None and time.monotonic() < end, self.output[-3000:]
            time.sleep(0.02)

    def end(self, status=0, send=None):
        """Waits for its end, after sending it a signal; returns its output."""
        if send:
            self.process.send_signal(send)
        assert self.process.wait(90) == status, self.output[-3000:]
        return self.output


def free_port():
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        return str(server.getsockname()[1])


@pytest.fixture
def train(tmp_path):
    """Starts trainings of a small model in `tmp_path`.

    With `torchrun`, a tuple of its further flags, each has two processes.
    """
    started = []

    def start(*options, by_epoch=False, interval=4, end=12, resume=(), torchrun=None, run='run'):
        config = tmp_path / f'{run}.py'
        config.write_text(
            CONFIG.format(
                base=REPOSITORY / 'configs/_base_/runtime.py',
                interval=interval,
                by_epoch=f'by_epoch={by_epoch}',
                end=f'max_epochs={end}' if by_epoch else f'max_iters={end}, val_interval=10**9',
                sampler='DefaultSampler' if by_epoch else 'InfiniteSampler',
            )
        )
        flags = [config, '--work-dir', tmp_path / run, *resume]
        if torchrun is not None:
            flags += ['--launcher', 'pytorch']
        if options:
            flags += ['--cfg-options', *options]
        launcher = () if torchrun is None else (*TORCHRUN, '--master_port', free_port(), *torchrun)
        started.append(Training(tmp_path, flags, launcher))
        return started[-1]

    yield start
    for training in started:
        if training.process.poll() is None:
            training.process.send_signal(signal.SIGKILL)
            training.process.wait()


@pytest.fixture
def losses(tmp_path):
    """The losses that the starts of a run logged, oldest first: a list of {iteration: loss}."""

    def read(run='run'):
        return [
            {line['step']: line['loss'] for line in map(json.loads, path.open())}
            for path in sorted((tmp_path / run).glob('*/vis_data/scalars.json'))
        ]

    return read
