"""What the other backbones' models cost is what the paper prints of them."""

import re
from pathlib import Path

import pytest

from twins_mm.paper.costs import BASELINE_COUNTINGS, count_baselines
from twins_mm.paper.figures import TABLES

CONFIGS = Path(__file__).parents[2] / 'configs'
# Printed and counted parameters that differ by more than rounding.
ROUNDED_UP = {(29, '28.29'), (107.2, '107.14')}
QUICK = ('Table 7', 'UperNet, Table 2')


def test_every_cost_of_others_that_have_configs_is_read():
    read = [
        value
        for counting in BASELINE_COUNTINGS
        for costs in counting.baselines.values()
        for value in costs.values()
    ]
    printed = [
        value
        for number in (1, 2, 3, 4, 7, 8)
        for _, column, value in TABLES[number].list_baselines()
        if column.figure in ('params', 'flops')
    ]
    assert sorted(read) == sorted(printed)


@pytest.mark.parametrize(
    'counting',
    [
        pytest.param(
            counting,
            id=counting.title,
            marks=[] if counting.title.endswith(QUICK) else pytest.mark.large,
        )
        for counting in BASELINE_COUNTINGS
    ],
)
def test_costs_are_the_papers(counting):
    """Parameters to its last digit; FLOPs within a percent, or a note says why not.

    docs/model_zoo.md says the same.
    """
    costs = list(count_baselines(counting, CONFIGS))
    page = (CONFIGS.parent / 'docs/model_zoo.md').read_text()
    assert len(costs) == len(counting.baselines)
    for cost in costs:
        printed, millions = cost.paper['params'], cost.counted_params / 1e6
        # Halves of the last digit are rounded up or down.
        unit = 10.0 ** -len(str(printed).partition('.')[2])
        assert (
            abs(millions - printed) < 0.51 * unit or (printed, f'{millions:.2f}') in ROUNDED_UP
        ), cost
        assert abs(cost.params_off) < 0.01 or cost.note, cost
        assert abs(cost.flops_off or 0) < 0.01 or cost.note, cost
        assert re.search(
            rf'^\| {re.escape(cost.name)} .*\| +{cost.counted_params / 1e6:.2f} \|.*'
            rf'\| +{cost.counted_macs / 1e9:.2f} \|',
            page,
            re.MULTILINE,
        ), cost


def test_tool_prints_the_page(call_tool, monkeypatch):
    monkeypatch.setattr('twins_mm.paper.costs.BASELINE_COUNTINGS', BASELINE_COUNTINGS[-2:-1])
    lines = call_tool('model_zoo', '--baselines', '--markdown').splitlines()
    page = (CONFIGS.parent / 'docs/model_zoo.md').read_text()
    rows = [line for line in lines if line.startswith('| retinanet_swin_t')]
    assert len(rows) == 2 and all(row in page for row in rows)
