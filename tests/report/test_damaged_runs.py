"""Damaged and odd working directories end in a page or in one sentence."""

import json
import re
import sys
from collections import Counter
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from mmengine.config import Config
from mutants import mutate_bytes, mutate_document
from report.work_dirs import train_line, write_start
from test_tools import functions

from twins_mm.report import verdict
from twins_mm.report.run import read_run

CONFIGS = Path(__file__).parents[2] / 'configs'
UPERNET = CONFIGS / 'upernet_twins_svt_s_160k.py'
RETINANET = CONFIGS / 'retinanet_twins_svt_s_1x.py'
START = Path('run/20261120_100000')
LOG, CONFIG = START / 'vis_data/scalars.json', START / 'vis_data/config.py'
TEXT_LOG = START / f'{START.name}.log'
UNREADABLE = 'cannot be judged'
LINES = {
    UPERNET: [
        *(train_line(step, 5 * step**-0.2, 6e-5) for step in range(2000, 32_001, 2000)),
        dict(mIoU=39.1, mAcc=50.0, step=16_000),
        dict(mIoU=41.7, mAcc=52.0, step=32_000),
    ],
    RETINANET: [
        *(train_line(step, 1 / step, 1e-4, epoch=1) for step in range(50, 1001, 50)),
        {'coco/bbox_mAP': 0.23, 'coco/bbox_mAP_s': -1.0, 'step': 1},
    ],
}


@pytest.fixture
def report(tmp_path, monkeypatch, capfd):
    """Reports on the run as the tool does; returns the sentence at its end, and whether that's all.

    Pictures are drawn but not written, and recipes and their schedules are read once: no damage is
    there.
    """
    monkeypatch.chdir(tmp_path)
    read, list_rates, known = Config.fromfile, verdict.expected_lr, {}

    def save(figure, path):
        if draws:
            figure.set_layout_engine('none')
            figure.draw_without_rendering()
        path.touch()

    def read_once(path, **options):
        if CONFIGS not in Path(path).parents:
            return read(path, **options)
        if path not in known:
            known[path] = read(path, **options)
        return known[path].copy()

    def list_rates_once(cfg, *args):
        key = cfg.filename, *args
        if key not in known:
            known[key] = list_rates(cfg, *args)
        return known[key]

    monkeypatch.setattr(Figure, 'savefig', save)
    monkeypatch.setattr(Config, 'fromfile', read_once)
    monkeypatch.setattr(verdict, 'expected_lr', list_rates_once)
    main = functions('report')['main']

    draws = True

    def run(*args, draw=False):
        nonlocal draws
        draws = draw
        monkeypatch.setattr(sys, 'argv', ['report', 'run', *args])
        page = Path('run/report/report.html')
        page.unlink(missing_ok=True)
        try:
            main()
        except SystemExit as end:
            capfd.readouterr()
            assert str(end.code).startswith('\nerror: run'), end.code
            return end.code
        output, errors = capfd.readouterr()
        assert not errors
        assert page.read_text().endswith('</html>')
        return re.search('^run: (.*)', output, re.MULTILINE)[1]

    return run


def classify(sentence):
    if sentence.startswith('\nerror'):
        return 'refused'
    return 'unreadable' if UNREADABLE in sentence else 'judged'


@pytest.mark.parametrize('config', LINES)
@pytest.mark.filterwarnings('error')
def test_mutated_logs_are_judged(config, report):
    write_start(Path('run'), config, LINES[config])
    for mutant in mutate_document(LINES[config], 50, changes=3):
        LOG.write_text(''.join(json.dumps(line) + '\n' for line in mutant))
        sentence = report('--images', '0', draw=True)
        assert UNREADABLE not in sentence, (sentence, mutant)


@pytest.mark.parametrize('config', LINES)
def test_mutated_configs_are_explained(config, report, monkeypatch):
    # What takes long and has nothing to do with the matter.
    monkeypatch.setattr('mmengine.config.config.FormatCode', lambda code, **_: (code, False))
    write_start(Path('run'), config, LINES[config])
    ends = Counter()
    for mutant in mutate_document(Config.fromfile(CONFIG).to_dict(), 50):
        Config(mutant).dump(CONFIG)
        ends[classify(report('--images', '1'))] += 1
    assert ends['judged'] > 0.7 * ends.total() and ends['refused']


@pytest.mark.parametrize(
    ('path', 'count', 'judged'), [(LOG, 60, 1), (TEXT_LOG, 40, 1), (CONFIG, 20, 0.1)]
)
def test_mutated_bytes_are_explained(path, count, judged, report):
    """Most of a config's make it no Python any more."""
    write_start(Path('run'), UPERNET, LINES[UPERNET])
    ends = Counter()
    for mutant in mutate_bytes(path.read_bytes(), count):
        path.write_bytes(mutant)
        ends[classify(report('--images', '0'))] += 1
    assert ends['judged'] >= judged * count


def test_log_is_read_while_it_is_written(tmp_path):
    """What is written of a line doesn't count, nor is it taken for damage."""
    write_start(tmp_path / 'run', UPERNET, LINES[UPERNET])
    log = tmp_path / LOG
    content = log.read_bytes()
    for end in range(0, len(content), 37):
        log.write_bytes(content[:end])
        run = read_run(tmp_path / 'run')
        whole = content[: end + 1].count(b'}\n' if end < len(content) else b'}')
        assert len(run.training) + len(run.validation) in (whole, whole + 1)
        assert not run.left_out


def test_damaged_lines_are_counted(report):
    write_start(Path('run'), UPERNET, LINES[UPERNET])
    lines = LOG.read_text().splitlines()
    lines[3:5] = ['{"lr": 6e-5, "loss": 1.', '\0' * 100]
    LOG.write_text('\n'.join([*lines, '{"lr": 1e-5, "step": 40000}', '']))
    assert report('--images', '0').startswith('On track')
    page = Path('run/report/report.html').read_text()
    assert 'are left out: 3.' in page.replace('<wbr>', '')


@pytest.mark.parametrize(
    ('lines', 'changes', 'sentence'),
    [
        ([], {}, 'No training has been logged yet.'),
        ([dict(lr=1e-4, loss_d=2.0, step=50)] * 2, {}, 'No training .* have no step or loss'),
        (LINES[UPERNET], dict(default_scope='mmpose', model=dict(type='Pose')), 'No problems'),
        (LINES[UPERNET], {'default_hooks.logger': None}, 'On track'),
        # Logged where the authors' log has no point.
        (
            [train_line(step, 0.4, 1e-5) for step in range(700, 190_000, 700)],
            {'train_cfg.max_iters': 200_000},
            'On track: at iteration 159,600',
        ),
        # Resumed in another folder.
        ([train_line(step, 0.4, 1e-5) for step in (159_000, 160_000)], {}, 'On track'),
    ],
)
def test_odd_runs_are_judged(lines, changes, sentence, report):
    write_start(Path('run'), UPERNET, lines, **changes)
    assert re.match(sentence, report('--images', '0'))


@pytest.mark.parametrize(
    ('folder', 'advice'),
    [
        ('gone', 'gone: No such file or directory'),
        ('.', r'. is not the working directory .*: pass the runs in it, ./\*'),
        (START, '.* is not the working directory .*: pass the folder above it, .*/run$'),
        (
            CONFIG,
            '.*config.py is not the working directory .*: pass the --work-dir of a training run$',
        ),
    ],
)
def test_other_folder_is_explained(folder, advice, call_tool, tmp_path):
    write_start(tmp_path / 'run', UPERNET, [])
    output = call_tool('report', folder, status=1)
    assert re.search(f'^error: {advice}', output, re.MULTILINE)
    assert 'Traceback' not in output


def test_folder_that_cannot_be_read_is_named(report, monkeypatch):
    write_start(Path('run'), UPERNET, LINES[UPERNET])
    read = Path.read_text

    def refuse(path, *args, **options):
        if path.name == LOG.name:
            raise PermissionError(13, 'Permission denied', str(path))
        return read(path, *args, **options)

    monkeypatch.setattr(Path, 'read_text', refuse)
    assert f'{LOG}: Permission denied' in report('--images', '0')
