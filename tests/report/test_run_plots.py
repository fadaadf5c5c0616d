from pathlib import Path

import pytest
from report.work_dirs import train_line, write_start

from twins_mm.report.run import read_run
from twins_mm.report.run_plots import plot_run

CONFIGS = Path(__file__).parents[2] / 'configs'


@pytest.fixture
def plot(tmp_path):
    """The axes of a plot of a run with these records, and the labels on its horizontal one."""

    def draw(name, config, lines):
        run = read_run(write_start(tmp_path, CONFIGS / f'{config}.py', lines))
        figure, _ = plot_run(run, None)[name]
        figure.draw_without_rendering()
        (axes,) = figure.axes
        low, high = axes.get_xlim()
        texts = axes.xaxis.get_ticklabels(which='both')
        return axes, [
            text.get_text()
            for text in texts
            if low <= text.get_position()[0] <= high and text.get_text()
        ]

    return draw


def lines(steps):
    return [train_line(step, 5.0, 1e-5) for step in steps]


def test_iterations_of_a_short_run_are_plain_numbers(plot):
    _, labels = plot('loss', 'upernet_twins_svt_s_160k', lines([10, 20, 30]))
    assert labels and all(label.replace(',', '').isdecimal() for label in labels)


def test_a_single_validation_stands_at_its_epoch(plot):
    _, labels = plot(
        'accuracy',
        'retinanet_twins_svt_s_1x',
        [*lines([14_660]), {'coco/bbox_mAP': 0.2, 'step': 2}],
    )
    assert '2' in labels and len(set(labels)) == len(labels)


def test_each_curve_has_a_legend(plot):
    axes, _ = plot('loss', 'upernet_twins_svt_s_160k', lines(range(50, 5000, 50)))
    assert len(axes.get_legend().get_texts()) == len(axes.lines)
