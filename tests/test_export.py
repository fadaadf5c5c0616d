"""tools/export.py."""

import json
import re
import sys

import cv2
import numpy as np
import pytest
import torch
from conftest import REPOSITORY
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from twins_mm.config import adapt_to_cpu

pytest.importorskip('torch', '2.9')

import onnx

from twins_mm import export
from twins_mm.export.comparison import LIMITS

SMALL = """
test_dataloader = dict(dataset=dict(pipeline=[
    dict(type='Resize', scale=(512, 128), keep_ratio=True)]))
"""


@pytest.fixture
def files(tiny_config, tmp_path):
    """A tiny Semantic FPN's config, and a checkpoint of it."""
    config = tiny_config('semantic_fpn_twins_pcpvt_s_80k')
    config.write_text(
        config.read_text().replace('depths=(2, 2, 2, 2)', 'depths=(1, 1, 1, 1)') + SMALL
    )
    cfg = Config.fromfile(config)
    adapt_to_cpu(cfg)
    init_default_scope('mmseg')
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    torch.nn.init.normal_(model.decode_head.conv_seg.weight)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'model.pth')
    return config, tmp_path / 'model.pth'


def test_exports_checks_and_times(files, run_tool, tmp_path):
    output = run_tool('export', *files, '--out', 'new/model.onnx', '--int8')
    assert {path.name for path in (tmp_path / 'new').iterdir()} == {'model.onnx'}
    model = onnx.load(tmp_path / 'new/model.onnx')
    assert 'MatMulInteger' in {node.op_type for node in model.graph.node}
    assert {node.domain for node in model.graph.node} == {''}
    about = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(about['classes'])[:2] == ['wall', 'building']
    assert re.search(r'new/model.onnx: \d+ MiB, int8', output)
    assert 'labels: int64, (B, H, W)' in output
    assert len(re.findall(r'\n +[12] +\d+ x \d+ +\d+\.\d+% +\d+ ', output)) == 8
    assert re.search(r'128 x 171 on 1 CPU threads: PyTorch \d+ ms, onnxruntime \d+ ms', output)


@pytest.fixture
def zeros(monkeypatch):
    """Every model is exported to one whose labels are all 0."""

    def export_zeros(module, outputs, path, metadata):
        helper, kinds = onnx.helper, onnx.TensorProto
        sides = ['batch', 'height', 'width']
        onnx.save(
            helper.make_model(
                helper.make_graph(
                    [
                        helper.make_node('Cast', ['image'], ['x'], to=kinds.INT64),
                        helper.make_node('Sub', ['x', 'x'], ['zeros']),
                        helper.make_node('ReduceMax', ['zeros', 'axes'], ['labels'], keepdims=0),
                    ],
                    'zeros',
                    [helper.make_tensor_value_info('image', kinds.UINT8, ['batch', 3, *sides[1:]])],
                    [helper.make_tensor_value_info('labels', kinds.INT64, sides)],
                    [helper.make_tensor('axes', kinds.INT64, [1], [1])],
                ),
                opset_imports=[helper.make_opsetid('', 20)],
                ir_version=10,
            ),
            path,
        )

    monkeypatch.setattr('twins_mm.export.onnx_file.export', export_zeros)


@pytest.mark.parametrize(
    ('precision', 'advice'),
    [
        ('float32', 'Please report it'),
        ('float16', 'export without --half'),
        ('int8', 'Export with --half or in float32; .*--image FILE'),
    ],
)
def test_an_export_that_is_not_the_model_is_refused(precision, advice, files, call_tool, zeros):
    flags = [{'float16': '--half'}.get(precision, f'--{precision}')][: precision != 'float32']
    error = call_tool('export', *files, '--out', 'model.onnx', *flags, status=1)
    found = re.search(
        rf'model.onnx is not the model: up to (\d+\.\d\d)% of the pixels differ, '
        rf'more than the {LIMITS[precision]:.0%} .* {precision} .*{advice}',
        error,
    )
    assert float(found[1]) > 50


@pytest.mark.parametrize(
    ('flags', 'status'),
    [([], 1), (['--int8'], 0), pytest.param(['--half'], 0, marks=pytest.mark.large)],
)
def test_what_an_export_loses_is_evaluated(flags, status, files, toy_folder, call_tool, zeros):
    """Where rounding explains differences, they are for the user to judge, by the metric."""
    weights = torch.load(files[1])
    weights['state_dict']['decode_head.conv_seg.bias'][2] += 1000  # the sky, in every toy image
    torch.save(weights, files[1])
    output = call_tool(
        'export', *files, '--out', 'model.onnx', '--toy', '--evaluate', *flags, status=status
    )
    found = re.search(r'mIoU +(\d+\.\d\d) +(\d+\.\d\d) +(-?\d+\.\d\d) ', output)
    theirs, ours, lost = map(float, found.groups())
    assert lost == theirs > ours == 0
    assert ('model.onnx is not the model' in output) == bool(status)


def test_a_pyramid_cannot_be_evaluated(tiny_config, save_model, call_tool, tmp_path):
    config, option = (
        tiny_config('mask_rcnn_twins_svt_s_1x'),
        ('model.roi_head.bbox_roi_extractor.roi_layer.pool_mode=max'),
    )
    save_model(config, tmp_path / 'model.pth')
    assert 'Backbone and FPN alone predict nothing' in call_tool(
        'export',
        config,
        'model.pth',
        '--out',
        'model.onnx',
        '--evaluate',
        '--cfg-options',
        option,
        status=1,
    )


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['none.py', '{checkpoint}'], 'Config not found: none.py'),
        (['empty.py', '{checkpoint}'], 'empty.py has no model'),
        (['{config}', 'none.pth'], 'Checkpoint not found: none.pth'),
        (['{config}', '{checkpoint}', '--image', 'empty.py'], 'empty.py is not an image'),
        (['{config}', '{checkpoint}', '--evaluate'], 'The data is not where the config expects it'),
        (['{config}', '{checkpoint}', '--out', '.'], '. is a folder: --out names the file'),
        (['{config}', '{checkpoint}', '--out', 'empty.py/new/model.onnx'], 'cannot be written'),
        (['{config}', 'diverged.pth'], 'NaN or infinity, first in backbone.patch_embeds.0.proj'),
    ],
)
def test_bad_input_is_told_in_one_message(args, message, files, call_tool, tmp_path):
    config, checkpoint = files
    (tmp_path / 'empty.py').touch()
    weights = torch.load(checkpoint)
    weights['state_dict']['backbone.patch_embeds.0.proj.weight'][0] = torch.nan
    torch.save(weights, tmp_path / 'diverged.pth')
    before = set(tmp_path.iterdir())
    args = [arg.format(config=config, checkpoint=checkpoint) for arg in args]
    assert message in call_tool('export', '--out', 'new/model.onnx', *args, status=1)
    assert set(tmp_path.iterdir()) == before


def test_an_image_is_checked_at_its_own_size(files, call_tool, tmp_path, monkeypatch):
    """In the config's test pipeline: its short side is 128 there, and none is distorted."""
    cv2.imwrite(str(tmp_path / 'tall.png'), np.zeros((200, 100, 3), np.uint8))
    sizes = []
    monkeypatch.setattr(
        'twins_mm.export.comparison.reference_outputs',
        lambda *args: sizes.append(args[-1][-1]) or sys.exit('enough'),
    )
    call_tool('export', *files, '--out', 'model.onnx', '--image', 'tall.png', status=1)
    assert sizes == [(256, 128)]


@pytest.mark.parametrize(
    ('version', 'missing', 'message'),
    [
        (
            torch.__version__,
            'onnxscript',
            'Exporting needs onnxscript: pip install onnx onnx_ir onnxscript onnxruntime',
        ),
        ('2.8.0+cpu', None, 'Exporting needs torch 2.9 or newer; this is 2.8.0+cpu'),
    ],
)
def test_what_to_install_is_told(version, missing, message, files, call_tool, monkeypatch):
    monkeypatch.delitem(sys.modules, 'twins_mm.export')
    monkeypatch.setattr('torch.__version__', version)
    if missing:
        monkeypatch.setitem(sys.modules, missing, None)
    assert message in call_tool('export', *files, '--out', 'model.onnx', status=1)


def test_what_setup_declares_is_what_to_install():
    setup = (REPOSITORY / 'setup.py').read_text()
    assert re.search(r'^DEPLOY = (.+)', setup, re.MULTILINE)[1] == str(list(export.PACKAGES))
