import json
import re
from html import unescape
from pathlib import Path

import pytest
import torch
from report.work_dirs import train_line, write_start

from twins_mm.cli import load_config
from twins_mm.paper.references import find_reference
from twins_mm.report import run_page
from twins_mm.report.run import read_run
from twins_mm.report.run_page import describe_progress, write_report

CONFIGS = Path(__file__).parents[2] / 'configs'
NAME = 'upernet_twins_svt_s_160k'


@pytest.fixture
def trained(tiny_config, run_tool, toy_folder):
    """Trains a tiny config for two steps; returns it and what mmengine logged."""

    def train(name):
        config = tiny_config(name)
        run_tool(
            'train',
            config,
            '--toy',
            '--work-dir',
            'run',
            '--cfg-options',
            'train_dataloader.batch_size=2',
            'val_dataloader.dataset.indices=6',
            'default_hooks.logger.interval=1',
            'train_cfg.max_iters=2',
        )
        (scalars,) = (toy_folder / 'run').glob('*/vis_data/scalars.json')
        return config, [json.loads(line) for line in scalars.read_text().splitlines()]

    return train


def read_page(path):
    """What a page says, with `|` for its tags."""
    return re.sub('(<[^>]+>\n?)+', '|', unescape(path.read_text().replace('<wbr>', '')))


def check_report(out, plots, how_scored):
    """Of a toy run of two steps; `plots` are those of its curves."""
    page = (out / 'report.html').read_text()
    captions = re.findall('<figcaption>(.*?)[:.,]', page)
    assert captions[len(plots) :] == ['best', 'worst', 'best', 'worst', 'best']
    assert page.count('<img src="data:image/') == len(captions)
    assert 'src="http' not in page
    assert {path.stem for path in out.glob('0_run/*.png')} == set(plots)
    assert len(list(out.glob('0_run/predictions/*.jpg'))) == 5
    for words in (
        'toy data',
        'Finished: 2 iterations',
        how_scored,
        'GPU number',
        'the closest recipe',
        'train_cfg.max_iters',
    ):
        assert words in page.replace('<wbr>', ''), words
    best, worst = (
        [float(score) for score in re.findall(rf'<figcaption>{kind}: (.*?),', page)]
        for kind in ('best', 'worst')
    )
    assert [*best, *worst[::-1]] == sorted([*best, *worst], reverse=True)


def test_toy_run_of_a_segmentor(trained, run_tool, call_tool, toy_folder):
    """Training and a test with --tta are read and reported."""
    config, logged = trained('semantic_fpn_twins_svt_s_80k')
    run_tool(
        'test',
        config,
        'run/iter_2.pth',
        '--toy',
        '--tta',
        '--work-dir',
        'run',
        '--cfg-options',
        'test_dataloader.dataset.indices=2',
    )
    run = read_run(toy_folder / 'run')
    assert (run.name, run.is_toy, run.is_finished, run.batch) == ('tiny', True, True, 2)
    assert run.training == [line for line in logged if 'loss' in line]
    assert [line['step'] for line in run.training] == [1, 2]
    assert run.validation == [line for line in logged if 'mIoU' in line] != []
    assert run.checkpoint == toy_folder / 'run/iter_2.pth'
    assert (run.environment['GPU number'], run.environment['seed']) == ('1', '0')
    (test,) = run.evaluations
    assert (test.tta, test.checkpoint) == (True, 'run/iter_2.pth')
    (log,) = run.folder.glob('*/*_*.json')
    assert test.metrics['mIoU'] == json.loads(log.read_text())['mIoU']

    output = call_tool('report', 'run', '--images', 5)
    assert 'run: A toy run' in output
    assert str(Path('run/report/report.html')) in output
    check_report(
        toy_folder / 'run/report', ['loss', 'learning_rate', 'accuracy', 'time'], 'its own mIoU'
    )


def test_toy_run_of_a_detector(trained, call_tool, toy_folder):
    trained('retinanet_twins_svt_s_1x')
    call_tool('report', 'run', '--images', 5, '--out', 'out')
    # It detects nothing yet, so it has no AP.
    check_report(toy_folder / 'out', ['loss', 'learning_rate', 'time'], 'F1')


def test_two_runs_in_one_report(call_tool, tmp_path):
    """One differs from the recipe in its crops, one is broken; neither has data or a checkpoint."""
    lines = [train_line(50, 5.7, 1.959458e-6), train_line(1500, 2.1, 5.939825e-5)]
    crops = {'train_dataloader.dataset.pipeline.3.crop_size': (256, 256)}
    write_start(tmp_path / 'a', CONFIGS / f'{NAME}.py', lines, **crops)
    write_start(
        tmp_path / 'b',
        CONFIGS / f'{NAME}.py',
        [*lines, train_line(1550, float('nan'), 5.941913e-5)],
    )
    output = call_tool('report', 'a', 'b', '--out', 'new/report')
    assert 'a: On track: at iteration 1,500 the loss is' in output
    assert 'b: Broken: The loss is nan at iteration 1,550.' in output
    text = read_page(tmp_path / 'new/report/report.html')
    assert f'|a|{NAME}|on track|' in text
    assert f'|b|{NAME}|broken|' in text
    assert f'Values that differ from {NAME}.py: 1.' in text
    assert '|[256, 256]|[512, 512]|' in text
    assert 'Not available: a has no checkpoint yet' in text
    assert "the authors' log" in text


@pytest.mark.parametrize(
    'error',
    [torch.cuda.OutOfMemoryError('CUDA out of memory.\nSee the documentation'), OSError('gone')],
)
def test_errors_in_pictures_are_reported(error, tmp_path, monkeypatch):
    def fail(*_):
        raise error

    monkeypatch.setattr(run_page, 'draw_extremes', fail)
    run = read_run(
        write_start(tmp_path / 'a', CONFIGS / f'{NAME}.py', [train_line(50, 5.7, 1.959458e-6)])
    )
    write_report([run], [find_reference(run, CONFIGS)], 5, tmp_path)
    line = str(error).partition('\n')[0]
    text = read_page(tmp_path / 'report.html')
    assert f'Not available: {type(error).__name__}: {line}|' in text
    assert '|Environment|' in text


def test_progress(tmp_path):
    write_start(tmp_path, CONFIGS / f'{NAME}.py', [train_line(40_000, 1.0, 1e-5)])
    assert describe_progress(read_run(tmp_path)).startswith(
        'Iteration 40,000 of 160,000 (25%), 13.3 hours to go at 0.40 s each'
    )


def test_folder_without_a_run_is_reported(call_tool, tmp_path):
    output = call_tool('report', '.', status=1)
    assert '. is not the working directory of a run' in output
    assert 'Traceback' not in output
    assert list(tmp_path.iterdir()) == []


def test_other_folders_are_skipped(call_tool, tmp_path):
    """`work_dirs/*`, with the output of other tools."""
    (tmp_path / 'a_benchmark').mkdir()
    (tmp_path / 'notes.txt').touch()
    write_start(tmp_path / 'run', CONFIGS / f'{NAME}.py', [train_line(50, 5.7, 1.959458e-6)])
    output = call_tool('report', 'a_benchmark', 'notes.txt', 'run', '--images', 0)
    assert re.findall('^skipped: (.*) is not the working directory', output, re.MULTILINE) == [
        'a_benchmark',
        'notes.txt',
    ]
    assert 'run: Too early to tell' in output
    assert (tmp_path / 'run/report/report.html').is_file()


def test_same_names_do_not_overwrite(tmp_path):
    runs = [
        read_run(
            write_start(
                tmp_path / folder, CONFIGS / f'{NAME}.py', [train_line(50, 5.7, 1.959458e-6)]
            )
        )
        for folder in ('a/run', 'b/run')
    ]
    write_report(runs, [find_reference(run, CONFIGS) for run in runs], 0, tmp_path / 'out')
    assert len(list((tmp_path / 'out').glob('*/loss.png'))) == 2


def test_missing_data_is_named_in_the_report(tmp_path, monkeypatch):
    """As after a move to another machine."""
    monkeypatch.chdir(tmp_path)
    write_start(tmp_path / 'a', CONFIGS / f'{NAME}.py', [train_line(50, 5.7, 1.959458e-6)])
    (tmp_path / 'a/last_checkpoint').write_text('iter_50.pth')
    (tmp_path / 'a/iter_50.pth').touch()
    run = read_run(tmp_path / 'a')
    write_report([run], [find_reference(run, CONFIGS)], 5, tmp_path)
    text = read_page(tmp_path / 'report.html')
    assert str(tmp_path / 'data/ade/ADEChallengeData2016/images/validation') in text


@pytest.mark.parametrize('kept', [0, 1000, 0.5, 0.99, None])
def test_checkpoint_that_is_cut_off_is_named(
    kept, make_tiny_config, save_model, toy_folder, monkeypatch
):
    """As by a full disk, or by a download; or removed, to make room."""
    monkeypatch.chdir(toy_folder)
    config = make_tiny_config('semantic_fpn_twins_svt_s_80k', toy_folder / 'tiny.py')
    toy = load_config(str(config), toy=True)
    toy.dump(config)
    write_start(toy_folder / 'a', config, [train_line(50, 5.7, 1e-6)])
    path = toy_folder / 'a/iter_50.pth'
    (toy_folder / 'a/last_checkpoint').write_text('iter_50.pth')
    if kept is not None:
        save_model(config, path)
        content = path.read_bytes()
        path.write_bytes(content[: int(kept if kept >= 1 else kept * len(content))])
    run = read_run(Path('a'))
    write_report([run], [None], 2, Path('out'))
    reason = re.search(r'Not available: ([^|]*)', read_page(Path('out/report.html')))[1]
    assert reason == 'a has no checkpoint any more' or 'a/iter_50.pth' in reason
