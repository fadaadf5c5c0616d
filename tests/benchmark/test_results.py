import json
import re

import pytest

from twins_mm.benchmark.measure import Case, Measurement
from twins_mm.benchmark.plots import plot_growth, plot_ratios
from twins_mm.benchmark.results import summarise
from twins_mm.benchmark.save import save_results
from twins_mm.benchmark.tables import describe_groups

# What the counter finds for SVT-S at 224 x 224; Table 1 has 2.9 G.
MACS = 2.93e9
RATE = 5 * 2 * 2048**3 / 0.1


def group(training=False, size=(2, 224, 224), products=(0.1, 0.1, 0.1), failed=False):
    def case(peer):
        return Case(peer, 'svt_s', training, 'float32', size, 'cpu')

    other = (
        Measurement([], 0, 'out of memory') if failed else Measurement([1.2, 0.9, 1.0], 300 * 2**20)
    )
    return summarise(
        [
            (case('matmul'), Measurement(list(products), 0)),
            (case('twins_mm'), Measurement([0.4, 0.5, 9.0], 100 * 2**20)),
            (case('textbook'), other),
        ]
    )


def describe(groups):
    return re.sub(' +', ' ', describe_groups(groups))


@pytest.mark.parametrize(('training', 'steps'), [(False, 1), (True, 3)])
def test_lower_bound_is_operations_over_the_rate(training, steps):
    assert group(training).lower_bound == pytest.approx(steps * 2 * 2 * MACS / RATE, rel=2e-3)


def test_table_compares_medians_with_ours():
    text = describe([group()])
    assert '| twins_mm | 500 | 4.00 | 1.00 |' in text
    assert '| textbook | 1000 | 2.00 | 2.00 |' in text
    assert text.count('| 300 | 3.00 |') == 1
    assert 'noisy' not in text


def test_noise_is_said():
    assert 'varied by 50%' in describe([group(products=(0.075, 0.1, 0.125))])


def test_failure_is_a_row():
    assert '| textbook | out of memory |' in describe([group(failed=True)])


def test_files(tmp_path):
    sizes = [(1, side, side) for side in (224, 448, 896)]
    paths = save_results(
        [group(size=size, failed=size[1] == 896) for size in sizes], 'A machine', tmp_path / 'new'
    )
    assert {path.name for path in paths} == {
        'results.json',
        'results.md',
        'ratios.png',
        'growth.png',
    }
    saved = json.loads((tmp_path / 'new/results.json').read_text())
    assert [entry['rows'][0]['seconds'] for entry in saved['groups']] == [0.5] * 3
    assert (tmp_path / 'new/results.md').read_text().startswith('A machine\n\n**svt_s, inference')
    assert all(path.stat().st_size for path in paths)
    assert [path.name for path in save_results([group()], '', tmp_path)] == [
        'results.json',
        'results.md',
        'ratios.png',
    ]


def test_nothing_to_compare_with_is_no_plot(tmp_path):
    alone = group()
    alone.rows = [row for row in alone.rows if row.peer != 'twins_mm']
    assert [path.name for path in save_results([alone], '', tmp_path)] == [
        'results.json',
        'results.md',
    ]


def test_ratios_are_plotted():
    """A group where a peer failed has no point of it."""
    figure = plot_ratios([group(), group(training=True, failed=True)])
    for axes, ratio in zip(figure.axes, (2.0, 3.0)):
        (line,) = [line for line in axes.lines if line.get_label() == 'textbook']
        assert line.get_xdata().tolist() == [ratio]
        assert axes.get_xlim()[1] > ratio
    (bound,) = [line for line in figure.axes[0].lines if line.get_label() == 'lower bound']
    assert bound.get_xdata() == pytest.approx(
        [group().lower_bound / 0.5, 3 * group().lower_bound / 0.5]
    )


def test_growth_is_in_pixels():
    figure = plot_growth([group(size=(1, side, 2 * side)) for side in (200, 400, 800)])
    for axes in figure.axes:
        assert axes.get_xlabel() == 'side of the image, pixels'
        assert axes.lines[0].get_xdata() == pytest.approx([282.84, 565.69, 1131.4], rel=1e-4)
