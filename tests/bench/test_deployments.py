import pytest
import torch

pytest.importorskip('torch', '2.9')

from mmengine.config import Config

from twins_mm.bench import deployments
from twins_mm.bench.deployments import WAYS, Way, best_of, compare_ways, describe_ways
from twins_mm.checkpoints.trained import load_model


@pytest.mark.parametrize(
    ('ways', 'best'),
    [
        ([Way('fast', 1.0, {'box AP': 39.6, 'mask AP': 29.6})], 'fast'),
        ([Way('fast', 1.0, {'box AP': 40.0, 'mask AP': 29.4})], 'PyTorch'),
        ([Way('fast', 1.0, {})], 'PyTorch'),
        (
            [
                Way('fast', 1.0, {'box AP': 41.0, 'mask AP': 31.0}),
                Way('faster', 0.5, {'box AP': 39.0, 'mask AP': 31.0}),
            ],
            'fast',
        ),
        ([Way('broken', error='no compiler')], 'PyTorch'),
    ],
)
def test_the_best_way_is_the_fastest_that_loses_little(ways, best):
    ways = [Way('PyTorch', 2.0, {'box AP': 40.0, 'mask AP': 30.0}), *ways]
    assert best_of(ways).name == best
    text = describe_ways(ways)
    assert f'points lost: {best}, {2.0 / best_of(ways).seconds:.2f} times as fast' in text
    assert all(way.error in text for way in ways)


@pytest.mark.parametrize(
    'name',
    [
        'semantic_fpn_twins_svt_s_80k',
        *(
            pytest.param(name, marks=pytest.mark.large)
            for name in ('retinanet_twins_svt_s_1x', 'mask_rcnn_twins_svt_s_1x')
        ),
    ],
)
def test_each_way_answers_or_says_why_not(name, tiny_config, monkeypatch):
    def fail(*_):
        raise RuntimeError('no compiler\nand much more')

    answers = {}

    def evaluate(cfg, predict, way):
        images = torch.full((1, 3, 64, 96), 100, dtype=torch.uint8)
        if way != 'PyTorch':
            answers[way] = predict.run(images)
        return dict(mIoU=50.0)

    class Predict:
        def __init__(self, run, deployable):
            self.run = run

    monkeypatch.setitem(WAYS, 'PyTorch, compiled', fail)
    monkeypatch.setattr(deployments, 'evaluate', evaluate)
    monkeypatch.setattr(deployments, 'predict_with', Predict)
    cfg = Config.fromfile(tiny_config(name))
    torch.manual_seed(0)
    ways = compare_ways(cfg, load_model(cfg, None))
    assert [way.name for way in ways] == ['PyTorch', *WAYS]
    assert ways[1] == Way('PyTorch, compiled', error='no compiler')
    assert all(way.seconds > 0 and way.metrics == dict(mIoU=50.0) for way in ways if not way.error)
    for answer in answers.values():
        for one, other in zip(answer, answers['onnxruntime'], strict=True):
            assert (one.shape, one.dtype) == (other.shape, other.dtype)


@pytest.mark.large
def test_compiled_way_answers_as_the_model(tiny_config, tmp_path):
    cfg = Config.fromfile(tiny_config('semantic_fpn_twins_svt_s_80k'))
    deployable = deployments.make_deployable(load_model(cfg, None))
    images = torch.randint(256, (1, 3, 64, 96), dtype=torch.uint8)
    with torch.no_grad():
        (labels,) = WAYS['PyTorch, compiled'](deployable, tmp_path)(images)
        assert (labels == deployable(images)).double().mean() > 0.99


def test_a_tool_for_it(tiny_config, save_model, call_tool, tmp_path, monkeypatch):
    config = tiny_config('semantic_fpn_twins_svt_s_80k')
    save_model(config, tmp_path / 'model.pth')
    monkeypatch.setattr(
        deployments, 'compare_ways', lambda *_: [Way('PyTorch', 1.0, {'mIoU': 5.0})]
    )
    assert 'lost: PyTorch, 1.00 times as fast' in call_tool(
        'benchmark', '--deploy', config, tmp_path / 'model.pth', '--toy'
    )
