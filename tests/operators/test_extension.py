"""The compiled module that mmcv finds: ours, unless there is a compiled one."""

import importlib
import subprocess
import sys

import mmcv
import mmcv.ops
import pytest
import torch

from mmcv_operators import extension


def run(code, **options):
    return subprocess.run([sys.executable, '-c', code], text=True, capture_output=True, **options)


def test_mmcv_forwards_to_the_operators():
    module = importlib.import_module('mmcv._ext')
    for name in extension.__all__:
        assert getattr(module, name) is getattr(extension, name)


def test_openmmlabs_own_imports_come_first(tmp_path):
    """As in a script or notebook that doesn't know us."""
    done = run(
        'from mmdet.apis import DetInferencer\nimport mmseg.apis, sys\n'
        'print([name for name in sys.modules if name.startswith("twins_mm")])',
        cwd=tmp_path,
    )
    assert done.stdout == '[]\n', done.stderr


def test_operators_need_torch_alone(tmp_path):
    others = ('numpy', 'mmcv', 'mmengine', 'mmdet', 'twins_mm', 'torchvision')
    done = run(
        f'import sys; sys.modules.update(dict.fromkeys({others}))\n'
        'import torch\nfrom mmcv_operators import extension\n'
        'print(extension.nms(torch.rand(1, 4), torch.rand(1), 0.5, 0))',
        cwd=tmp_path,
    )
    assert done.stdout == 'tensor([0])\n', done.stderr


@pytest.mark.parametrize(
    'call',
    [
        lambda: mmcv.ops.nms_rotated(torch.rand(2, 5), torch.rand(2), 0.5),
        lambda: mmcv.ops.soft_nms(torch.rand(2, 4), torch.rand(2)),
        lambda: mmcv.ops.DeformConv2d(3, 3, 1)(torch.rand(1, 3, 8, 8), torch.rand(1, 2, 8, 8)),
    ],
)
def test_other_operators_say_what_they_need(call):
    with pytest.raises(NotImplementedError, match=r'compiled mmcv only: .*MMCV_WITH_OPS=1 pip'):
        call()


def test_unknown_dunders_are_missing():
    assert not hasattr(extension, '__path__')


def test_environment_names_what_computes():
    from mmcv.utils import collect_env

    environment = collect_env()
    assert environment['MMCV Compiler'] == f'none (operators by torch {torch.__version__})'
    assert environment['MMCV CUDA Compiler'].startswith('none (operators by torch')
