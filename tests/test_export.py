"""tools/export.py."""
import re
from pathlib import Path

import onnx
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from twins_mm.config import fit_to_cpu

TOOL = Path(__file__).parent.parent / 'tools/export.py'


@pytest.fixture
def files(tiny_config, tmp_path):
    """A tiny Semantic FPN's config, and a checkpoint of it."""
    config = tiny_config('semantic_fpn_twins_pcpvt_s_80k')
    config.write_text(config.read_text().replace('depths=(2, 2, 2, 2)', 'depths=(1, 1, 1, 1)'))
    cfg = Config.fromfile(config)
    fit_to_cpu(cfg)
    init_default_scope('mmseg')
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    torch.nn.init.normal_(model.decode_head.conv_seg.weight)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'model.pth')
    return config, tmp_path / 'model.pth'


def test_exports_checks_and_times(files, run_tool, tmp_path):
    output = run_tool('export', *files, '--out', 'new/model.onnx', '--int8')
    assert {path.name for path in (tmp_path / 'new').iterdir()} == {'model.onnx'}
    nodes = onnx.load(tmp_path / 'new/model.onnx').graph.node
    assert 'MatMulInteger' in {node.op_type for node in nodes}
    assert {node.domain for node in nodes} == {''}
    assert re.search(r'new/model.onnx: \d+ MiB, int8', output)
    assert 'labels: int64, (B, H, W)' in output
    assert len(re.findall(r'│ +[12] │ +\d+ x \d+ │ +\d+\.\d+% │ +\d+ │', output)) == 6
    assert re.search(r'512 x 683 on 1 CPU threads: PyTorch \d+ ms, onnxruntime \d+ ms', output)
    assert 'pip install tensorrt' in output


@pytest.mark.parametrize(('args', 'message'), [
    (['none.py', '{checkpoint}'], 'There is no config none.py'),
    (['{config}', 'none.pth'], 'There is no checkpoint none.pth')])
def test_bad_input_is_told_in_one_message(args, message, files, run_tool, tmp_path):
    config, checkpoint = files
    args = [arg.format(config=config, checkpoint=checkpoint) for arg in args]
    output = run_tool('export', *args, '--out', 'model.onnx', status=1)
    assert message in output
    assert 'Traceback' not in output
    assert not (tmp_path / 'model.onnx').exists()


def test_what_to_install_is_told(files, run_tool, tmp_path):
    (tmp_path / 'broken/onnxscript').mkdir(parents=True)
    (tmp_path / 'broken/onnxscript/__init__.py').write_text('raise ImportError(name="onnxscript")')
    tool = tmp_path / 'tool.py'
    tool.write_text(f"""import runpy, sys
sys.path.insert(0, {str(tmp_path / 'broken')!r})
runpy.run_path({str(TOOL)!r}, run_name='__main__')
""")
    output = run_tool(tool, *files, '--out', 'model.onnx', status=1)
    assert 'Exporting needs onnxscript: pip install onnx onnxscript onnxruntime' in output
