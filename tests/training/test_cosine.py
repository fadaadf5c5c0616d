import math
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import PARAM_SCHEDULERS

CONFIGS = Path(__file__).parents[2] / 'configs'
NAMES = [
    'imagenet/twins_svt_s',
    *(f'released/twins_{name}_released' for name in ('pcpvt_s', 'svt_s', 'svt_l')),
]


def build(name):
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    optimizer = torch.optim.SGD([torch.zeros(1)], cfg.optim_wrapper.optimizer.lr)
    (scheduler,) = (
        PARAM_SCHEDULERS.build(dict(scheduler, optimizer=optimizer))
        for scheduler in cfg.param_scheduler
    )
    optimizer.step()  # otherwise the scheduler warns about the order
    return cfg, optimizer, scheduler


def list_rates(name):
    cfg, optimizer, scheduler = build(name)
    rates = []
    for _ in range(cfg.train_cfg.max_epochs):
        rates.append(optimizer.param_groups[0]['lr'])
        scheduler.step()
    return rates


# From logs/*.txt of the authors' repository, each a mean over an epoch: `train_lr` by `epoch`.
LOGGED = dict(
    svt_s={
        0: 1.000000000000014e-06,
        1: 1.000000000000014e-06,
        2: 0.00040080000000000486,
        5: 0.001600200000000024,
        6: 0.001998636387080776,
        7: 0.001998036594786119,
        60: 0.001816052156749922,
        290: 1.6594098227605466e-05,
        298: 1.0490972436097076e-05,
        299: 1.0218219942528794e-05,
    },
    svt_l={
        0: 9.999999999999953e-07,
        1: 9.999999999999953e-07,
        2: 5.0950000000000534e-05,
        20: 0.0009500499999999992,
        21: 0.000989183062363242,
        60: 0.0009084882588856559,
    },
)


@pytest.mark.parametrize('variant', LOGGED)
def test_learning_rate_equals_the_authors_log(variant):
    rates = list_rates(f'released/twins_{variant}_released')
    for epoch, logged in LOGGED[variant].items():
        assert abs(rates[epoch] - logged) < 1e-12, epoch


def timm_lr(epoch, base, warm_up):
    """The learning rate of timm 0.3.2's CosineLRScheduler after `step(epoch)`."""
    if epoch < warm_up:
        return 1e-6 + epoch * (base - 1e-6) / warm_up
    return 1e-5 + 0.5 * (base - 1e-5) * (1 + math.cos(math.pi * epoch / 300))


@pytest.mark.parametrize('name', NAMES)
def test_learning_rate_equals_the_old_formula_at_every_epoch(name):
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    base, warm_up = cfg.optim_wrapper.optimizer.lr, cfg.param_scheduler[0].warm_up_epochs
    rates = list_rates(name)
    assert len(rates) == 300
    for epoch, lr in enumerate(rates):
        # The released code steps at the end of an epoch, with that epoch's number.
        assert abs(lr - timm_lr(max(epoch - 1, 0), base, warm_up)) < 1e-12, epoch


def test_resumed_schedule_continues():
    rates = list_rates('imagenet/twins_svt_s')
    _, _, scheduler = build('imagenet/twins_svt_s')
    for _ in range(7):
        scheduler.step()
    _, optimizer, resumed = build('imagenet/twins_svt_s')
    resumed.load_state_dict(scheduler.state_dict())
    resumed.step()
    assert optimizer.param_groups[0]['lr'] == rates[8]
