from types import SimpleNamespace

import pytest
import torch

from mmcv_operators import kernels


@pytest.fixture(autouse=True)
def forget():
    kernels.has_torchvision.cache_clear()
    yield
    kernels.has_torchvision.cache_clear()


def raise_error(*_):
    raise RuntimeError('operator torchvision::nms does not exist')


@pytest.mark.parametrize(
    ('load', 'has_kernel', 'expected'),
    [
        (raise_error, lambda *_: True, False),
        (lambda _: None, raise_error, False),
        (lambda _: None, lambda name, key: key == 'CPU', False),
        (lambda _: None, lambda name, key: name == 'torchvision::nms', False),
        (lambda _: None, lambda name, key: key == 'CUDA', True),
    ],
    ids=['does not load', 'no operators', 'for CPUs alone', 'one of three', 'for CUDA'],
)
def test_torchvision_is_used_if_it_has_cuda_kernels(load, has_kernel, expected, monkeypatch):
    monkeypatch.setattr(kernels, 'import_module', load)
    monkeypatch.setattr(kernels, '_has_kernel', has_kernel)
    on_cuda = SimpleNamespace(is_cuda=True)
    assert (kernels.find_torchvision(on_cuda) is torch.ops.torchvision) == expected
    assert kernels.find_torchvision(torch.ones(1)) is None
    torch.use_deterministic_algorithms(True)
    try:
        assert kernels.find_torchvision(on_cuda) is None
    finally:
        torch.use_deterministic_algorithms(False)


def test_backend_is_named(monkeypatch):
    monkeypatch.setattr(kernels, 'import_module', lambda _: SimpleNamespace(__version__='0.28'))
    for has_kernel, backend in ((False, f'torch {torch.__version__}'), (True, 'torchvision 0.28')):
        kernels.has_torchvision.cache_clear()
        monkeypatch.setattr(kernels, '_has_kernel', lambda *_, found=has_kernel: found)
        assert kernels.name_backend('cuda') == backend
        assert kernels.name_backend('cpu') == f'torch {torch.__version__}'
