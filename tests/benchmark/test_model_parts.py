import pytest
from mmengine.config import Config

from twins_mm.benchmark.model_parts import describe_parts, measure_parts


@pytest.mark.parametrize(
    ('name', 'neck'),
    [
        ('retinanet_twins_svt_s_1x', True),
        pytest.param('upernet_twins_pcpvt_s_160k', False, marks=pytest.mark.large),
    ],
)
def test_parts_of_a_step(name, neck, tiny_config, toy_folder, monkeypatch):
    monkeypatch.chdir(toy_folder)
    measured = measure_parts(Config.fromfile(tiny_config(name)), rounds=1)
    before = ['data loading', 'preprocessor', 'backbone', *(['neck'] if neck else [])]
    assert list(measured['inference']) == [*before, 'heads']
    assert list(measured['training']) == [*before, 'heads and losses', 'backward', 'optimizer']
    assert all(seconds > 0 for parts in measured.values() for seconds in parts.values())


def test_table():
    text = describe_parts(dict(inference=dict(backbone=0.3, heads=0.1)))
    assert '**inference**, 400 ms' in text
    assert '| backbone | 300 |   75% |' in text
