"""OpenMMLab's own tools and functions work with our configs as they are."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from twins_mm.cli import load_config
from twins_mm.report.nearest_recipe import expected_lr

REPOSITORY = Path(__file__).parent.parent
BLOCKS = [
    block
    for page in [REPOSITORY / 'README.md', *REPOSITORY.glob('docs/*.md')]
    for block in re.findall(r'```python\n(.*?)```', page.read_text(), re.DOTALL)
]
CONFIGS = [block for block in BLOCKS if block.startswith("_base_ = 'mm")]
IMAGE = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)


def initialise(scope, config):
    if scope == 'mmdet':
        from mmdet.apis import init_detector as init
    else:
        from mmseg.apis import init_model as init
    return init(str(config), device='cpu')


@pytest.fixture
def checkpoint(tmp_path):
    """Saves a config's randomly initialised weights."""

    def make(scope, config):
        model = initialise(scope, config)
        torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / 'weights.pth')
        return str(tmp_path / 'weights.pth')

    return make


@pytest.mark.parametrize('name', ['retinanet_twins_svt_s_1x', 'mask_rcnn_twins_pcpvt_s_3x'])
def test_det_inferencer(name, tiny_config, checkpoint):
    from mmdet.apis import DetInferencer, inference_detector

    config = tiny_config(name)
    weights = checkpoint('mmdet', config)
    result = DetInferencer(str(config), weights, device='cpu')(IMAGE, no_save_vis=True)
    sample = inference_detector(initialise('mmdet', config), IMAGE)
    assert set(result['predictions'][0]) >= {'labels', 'scores', 'bboxes'}
    assert ('masks' in sample.pred_instances) == name.startswith('mask')


@pytest.mark.parametrize('name', ['semantic_fpn_twins_svt_s_80k', 'upernet_twins_pcpvt_s_160k'])
def test_seg_inferencer(name, tiny_config, checkpoint):
    from mmseg.apis import MMSegInferencer, inference_model

    config = tiny_config(name)
    weights = checkpoint('mmseg', config)
    labels = MMSegInferencer(str(config), weights, device='cpu')(IMAGE)['predictions']
    assert labels.shape == IMAGE.shape[:2]
    sample = inference_model(initialise('mmseg', config), IMAGE)
    assert sample.seg_logits.data.shape == (150, *IMAGE.shape[:2])


def test_mmdets_own_train_tool(tiny_config, run_tool, toy_folder):
    import mmdet

    (toy_folder / 'data/coco').symlink_to('toy/coco')
    tool = Path(mmdet.__file__).parent / '.mim/tools/train.py'
    output = run_tool(
        tool,
        tiny_config('retinanet_twins_pcpvt_s_1x'),
        '--cfg-options',
        'train_cfg.max_epochs=1',
        'train_dataloader.dataset.indices=2',
        'val_dataloader.dataset.indices=2',
    )
    assert 'Evaluating bbox' in output


def documented(start):
    """The Python block in README or docs that starts with `start`."""
    return next(block for block in BLOCKS if block.startswith(start))


@pytest.mark.parametrize('config', CONFIGS, ids=lambda config: config.splitlines()[0])
def test_learning_rate_of_documented_config_warms_up_and_decays(config, tmp_path):
    path = tmp_path / 'my_config.py'
    path.write_text(config)
    cfg = load_config(str(path))
    epochs, length = cfg.train_cfg.get('max_epochs', 1), cfg.train_cfg.get('max_iters', 7330)
    rates = expected_lr(cfg, epochs * length, length)
    highest = max(rates)
    assert highest == pytest.approx(cfg.optim_wrapper.optimizer.lr, rel=0.05)
    assert rates[0] < 0.01 * highest
    assert rates.index(highest) < 0.05 * len(rates)
    assert rates[-1] < 0.02 * highest


def test_configs_are_documented_for_both_libraries():
    assert {re.search(r"'(\w+)::", config)[1] for config in CONFIGS} == {'mmdet', 'mmseg'}


@pytest.mark.parametrize(('base', 'metric'), [('mmdet', 'Evaluating bbox'), ('mmseg', 'mIoU')])
def test_documented_user_config(base, metric, run_tool, toy_folder):
    path = toy_folder / 'my_config.py'
    path.write_text(documented(f"_base_ = '{base}::"))
    output = run_tool(
        'train',
        path,
        '--toy',
        '--cfg-options',
        'train_cfg.max_iters=1',
        'train_dataloader.batch_size=2',
        'val_dataloader.dataset.indices=2',
    )
    assert metric in output
    assert re.search(r"backbone=dict\([^)]*type='Twins(SVT|PCPVT)'", output)


def test_documented_python_runs():
    scope = {}
    exec(documented('import torch\nimport twins_mm'), scope)
    assert [tuple(level.shape) for level in scope['levels']] == [
        (1, 64, 56, 56),
        (1, 128, 28, 28),
        (1, 256, 14, 14),
        (1, 512, 7, 7),
    ]


def test_documented_architecture_builds():
    from twins_mm import TwinsSVT

    exec(documented('arch = dict('), scope := {})
    with torch.device('meta'):
        backbone = TwinsSVT(scope['arch'])
    kinds = [hasattr(block.attn, 'qkv') for block in backbone.blocks[2]]
    assert kinds == [True, True, False] * 3 + [True]


def test_package_imports_nothing_of_mmcv():
    code = 'import sys, twins_mm; print({"mmcv", "mmdet", "mmseg"} & sys.modules.keys())'
    assert subprocess.check_output([sys.executable, '-c', code], text=True).strip() == 'set()'
