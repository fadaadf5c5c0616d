import re
from itertools import islice
from pathlib import Path

import pytest
from report.work_dirs import train_line, write_start

from twins_mm.paper.filled_tables import collect
from twins_mm.paper.plan import list_tests, list_trainings
from twins_mm.report.run import find_runs

CONFIGS = Path(__file__).parents[2] / 'configs'
UPERNET = 'upernet_twins_svt_s_160k'
PARTS = {'data loading': 1.0, 'backbone': 0.5, 'backward': 0.5}


@pytest.fixture
def plan(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def make(root='work_dirs', baselines=False):
        Path(root).mkdir(exist_ok=True)
        results = collect(find_runs(Path(root)), CONFIGS)
        trainings = list_trainings(results, CONFIGS, Path(root), baselines)
        return (
            {training.config.stem: training for training in trainings},
            list(list_tests(results, CONFIGS, Path(root), baselines)),
        )

    return make


def test_all_of_the_tables_are_to_be_run(plan):
    """Of 42 configs, the paper has no figures for the large detectors' 3x."""
    trainings, tests = plan()
    assert set(trainings) == {
        path.stem
        for name in (
            'imagenet/twins_*',
            'retinanet_*_[13]x',
            'mask_rcnn_*_[13]x',
            'semantic_fpn_*_80k',
            'upernet_*_160k',
        )
        for path in CONFIGS.glob(f'{name}.py')
        if re.search('_[sb](_|$)|_l(?!_3x)(_|$)', path.stem)
    }
    assert trainings['twins_svt_s'].command == (
        'torchrun --nproc_per_node 8 tools/train.py configs/imagenet/twins_svt_s.py '
        '--launcher pytorch'
    )
    assert trainings['semantic_fpn_twins_svt_s_80k'].command == (
        'torchrun --nproc_per_node 4 tools/train.py configs/semantic_fpn_twins_svt_s_80k.py '
        '--launcher pytorch'
    )
    assert len(tests) == 6
    assert (
        f'python tools/test.py configs/{UPERNET}.py work_dirs/{UPERNET}/iter_160000.pth --tta'
    ) in tests


def test_baselines_are_to_be_run_where_asked_for(plan, monkeypatch):
    monkeypatch.setattr('twins_mm.paper.plan.FILLED', (1, 2, 7))
    write_start(
        Path('work_dirs/upernet_resnet_101_160k'),
        CONFIGS / 'baselines/upernet_resnet_101_160k.py',
        [train_line(160_000, 0.4, 1e-9), dict(mIoU=44.0, step=160_000)],
    )
    trainings, tests = plan(baselines=True)
    # Of the one that is trained, the paper prints multi-scale testing's figure alone.
    assert {'upernet_resnet_101_160k', *(name for name in trainings if 'twins' not in name)} == {
        *(path.stem for path in CONFIGS.glob('baselines/*0k.py')),
        'swin_t_cpvt',
        *(
            f'{detector}_{swin}_1x'
            for detector in ('retinanet', 'mask_rcnn')
            for swin in ('swin_t', 'swin_t_cpvt')
        ),
    }
    assert trainings['upernet_swin_t_160k'].command == (
        'torchrun --nproc_per_node 8 tools/train.py configs/baselines/upernet_swin_t_160k.py '
        '--launcher pytorch'
    )
    assert len(tests) == 6 + 4
    assert (
        'python tools/test.py configs/baselines/upernet_resnet_101_160k.py '
        'work_dirs/upernet_resnet_101_160k/iter_160000.pth --tta'
    ) in tests


def test_gpu_hours(plan):
    """Of steps that take a second: iterations, or epochs of 7330, times GPUs."""
    gpu_seconds = {
        UPERNET: 160_000 * 8,
        'semantic_fpn_twins_svt_s_80k': 80_000 * 4,
        'retinanet_twins_svt_s_1x': 12 * 7330 * 8,
        'mask_rcnn_twins_svt_b_3x': 36 * 7330 * 8,
    }
    trainings, _ = plan()
    for name, seconds in gpu_seconds.items():
        assert trainings[name].gpu_hours(PARTS) == pytest.approx(seconds / 3600)
        # 4 workers keep up, unless a batch takes one of them more than 4 s.
        assert trainings[name].gpu_hours({**PARTS, 'data loading': 8.0}) == pytest.approx(
            2 * seconds / 3600
        )


def test_what_has_begun_goes_on_where_it_is(plan):
    folder = Path('runs/mine')
    write_start(folder, CONFIGS / f'{UPERNET}.py', [train_line(40_000, 0.7, 1e-5)])
    trainings, tests = plan('runs')
    assert trainings[UPERNET].command.endswith(
        f'{UPERNET}.py --launcher pytorch --work-dir runs/mine --resume'
    )
    assert trainings[UPERNET].iterations == 120_000
    other = trainings['retinanet_twins_svt_s_1x'].command
    assert other.endswith('--work-dir runs/retinanet_twins_svt_s_1x')
    assert (
        f'python tools/test.py configs/{UPERNET}.py runs/mine/iter_160000.pth --tta '
        '--work-dir runs/mine'
    ) in tests


def test_run_of_the_released_recipe_goes_on_with_it(plan):
    """It is another training than the paper's, for the same figure."""
    released = f'{UPERNET}_released'
    write_start(
        Path('work_dirs') / released,
        CONFIGS / f'released/{released}.py',
        [train_line(40_000, 0.7, 1e-5)],
    )
    trainings, tests = plan()
    assert UPERNET not in trainings
    assert trainings[released].command.endswith(
        f' configs/released/{released}.py --launcher pytorch --resume'
    )
    assert (
        f'python tools/test.py configs/released/{released}.py '
        f'work_dirs/{released}/iter_160000.pth --tta'
    ) in tests


def test_what_is_done_is_not_in_it(plan):
    write_start(
        Path('work_dirs') / UPERNET,
        CONFIGS / f'{UPERNET}.py',
        [train_line(160_000, 0.4, 1e-9), dict(mIoU=46.0, step=160_000)],
    )
    trainings, tests = plan()
    assert UPERNET not in trainings
    assert len(tests) == 6


def test_commands_and_gpu_hours_are_printed(call_tool, tmp_path, monkeypatch):
    monkeypatch.setattr(
        'twins_mm.benchmark.model_parts.measure_parts', lambda cfg, rounds: dict(training=PARTS)
    )
    (tmp_path / 'work_dirs').mkdir()
    lines = call_tool('reproduce', 'work_dirs', '--plan', '--rounds', 1).splitlines()
    assert sum(line.startswith('torchrun --nproc_per_node') for line in lines) == 38
    assert sum(line.startswith('python tools/test.py') for line in lines) == 6
    hours = {
        line.split()[1].strip(','): float(line.split()[0].replace(',', ''))
        for line in lines
        if ' iterations on ' in line
    }
    assert hours['semantic_fpn_twins_svt_b_80k'] == round(80_000 * 4 / 3600)
    # Seconds: 6 trainings of 300 epochs, 12 of 12, 8 of 36, 6 of 80,000 iterations, 6 of 160,000.
    total = 6 * 300 * 1251 * 8 + (12 * 12 + 8 * 36) * 7330 * 8 + 6 * 80_000 * 4 + 6 * 160_000 * 8
    assert lines[-1].split() == [f'{total / 3600:,.0f}', 'in', 'all']


@pytest.mark.parametrize(
    ('args', 'has_gpu', 'rounds'),
    [
        ([], True, 3),
        ([], False, None),
        (['--rounds', '0'], True, None),
        (['--rounds', '2'], False, 2),
    ],
)
def test_a_cpu_is_timed_where_that_is_asked_for(
    args, has_gpu, rounds, call_tool, tmp_path, monkeypatch
):
    """It tells nothing of GPU hours, and all configs take an hour."""
    timed = set()
    monkeypatch.setattr(
        'twins_mm.paper.plan.list_trainings', lambda *args: islice(list_trainings(*args), 1)
    )
    monkeypatch.setattr('twins_mm.paper.plan.list_tests', lambda *args: [])
    device = 'cuda' if has_gpu else 'cpu'
    monkeypatch.setattr('mmengine.device.get_device', lambda: device)
    monkeypatch.setattr('twins_mm.benchmark.machine.describe_machine', lambda device: device)
    monkeypatch.setattr(
        'twins_mm.benchmark.model_parts.measure_parts',
        lambda cfg, rounds: timed.add(rounds) or dict(training=PARTS),
    )
    (tmp_path / 'work_dirs').mkdir()
    output = call_tool('reproduce', 'work_dirs', '--plan', *args)
    assert timed == ({rounds} if rounds else set())
    assert ('There is no GPU here' in output) == (not args and not has_gpu)
