import pytest
import torch

pytest.importorskip('torch', '2.9')

from mmengine.config import Config

from twins_mm.benchmark import backends as module
from twins_mm.benchmark.backends import (
    BACKENDS,
    Backend,
    best_of,
    compare_backends,
    describe_backends,
)
from twins_mm.checkpoints.load_model import load_model


@pytest.mark.parametrize(
    ('backends', 'best'),
    [
        ([Backend('fast', 1.0, {'box AP': 39.6, 'mask AP': 29.6})], 'fast'),
        ([Backend('fast', 1.0, {'box AP': 40.0, 'mask AP': 29.4})], 'PyTorch'),
        ([Backend('fast', 1.0, {})], 'PyTorch'),
        (
            [
                Backend('fast', 1.0, {'box AP': 41.0, 'mask AP': 31.0}),
                Backend('faster', 0.5, {'box AP': 39.0, 'mask AP': 31.0}),
            ],
            'fast',
        ),
        ([Backend('broken', error='no compiler')], 'PyTorch'),
    ],
)
def test_the_best_backend_is_the_fastest_that_loses_little(backends, best):
    backends = [Backend('PyTorch', 2.0, {'box AP': 40.0, 'mask AP': 30.0}), *backends]
    assert best_of(backends).name == best
    text = describe_backends(backends)
    assert f'points lost: {best}, {2.0 / best_of(backends).seconds:.2f} times as fast' in text
    assert all(backend.error in text for backend in backends)


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
def test_each_backend_answers_or_says_why_not(name, tiny_config, monkeypatch):
    def fail(*_):
        raise RuntimeError('no compiler\nand much more')

    answers = {}

    def evaluate(cfg, predict, backend):
        images = torch.full((1, 3, 64, 96), 100, dtype=torch.uint8)
        if backend != 'PyTorch':
            answers[backend] = predict.run(images)
        return dict(mIoU=50.0)

    class Predict:
        def __init__(self, run, deployable):
            self.run = run

    monkeypatch.setitem(BACKENDS, 'PyTorch, compiled', fail)
    monkeypatch.setattr(module, 'evaluate', evaluate)
    monkeypatch.setattr(module, 'predict_with', Predict)
    cfg = Config.fromfile(tiny_config(name))
    torch.manual_seed(0)
    found = compare_backends(cfg, load_model(cfg, None))
    assert [backend.name for backend in found] == ['PyTorch', *BACKENDS]
    assert found[1] == Backend('PyTorch, compiled', error='no compiler')
    assert all(one.seconds > 0 and one.metrics == dict(mIoU=50.0) for one in found if not one.error)
    for answer in answers.values():
        for one, other in zip(answer, answers['onnxruntime'], strict=True):
            assert (one.shape, one.dtype) == (other.shape, other.dtype)


@pytest.mark.large
def test_compiled_backend_answers_as_the_model(tiny_config, tmp_path):
    cfg = Config.fromfile(tiny_config('semantic_fpn_twins_svt_s_80k'))
    deployable = module.make_deployable(load_model(cfg, None))
    images = torch.randint(256, (1, 3, 64, 96), dtype=torch.uint8)
    with torch.no_grad():
        (labels,) = BACKENDS['PyTorch, compiled'](deployable, tmp_path)(images)
        assert (labels == deployable(images)).double().mean() > 0.99


def test_a_tool_for_it(tiny_config, save_model, call_tool, tmp_path, monkeypatch):
    config = tiny_config('semantic_fpn_twins_svt_s_80k')
    save_model(config, tmp_path / 'model.pth')
    monkeypatch.setattr(
        module, 'compare_backends', lambda *_: [Backend('PyTorch', 1.0, {'mIoU': 5.0})]
    )
    assert 'lost: PyTorch, 1.00 times as fast' in call_tool(
        'benchmark', 'deploy', config, tmp_path / 'model.pth', '--toy'
    )
