"""`models/` runs in another project, without the rest of the package."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_archs import TINY_ARCHS

import twins_mm
from twins_mm import STViT, TwinsPCPVT, TwinsSVT
from twins_mm.checkpoints import convert

RUN = """
import sys
sys.modules.update(dict.fromkeys(('twins_mm', 'mmcv', 'mmdet', 'mmseg')))  # cannot be imported
import torch
from networks import STViT, TwinsPCPVT, TwinsSVT

given = torch.load('given.pth', weights_only=True)
for options in (dict(), dict(init_cfg=dict(type='Pretrained', checkpoint='weights.pth'))):
    model = {name}({arch}, **options).eval()
    model.init_weights()
    if not options:
        model.load_state_dict(given['weights'])
    for level, expected in zip(model(given['images']), given['levels'], strict=True):
        torch.testing.assert_close(level, expected)
"""


@pytest.mark.parametrize(
    ('family', 'layout'),
    [(TwinsPCPVT, 'released'), (TwinsSVT, 'mmseg'), (STViT, 'released')],
)
def test_copy_runs_and_loads_weights(family, layout, tmp_path):
    shutil.copytree(Path(twins_mm.__file__).parent / 'models', tmp_path / 'networks')
    arch, images = TINY_ARCHS[family.__name__], torch.rand(1, 3, 64, 96)
    model = family(arch).eval()
    weights = model.state_dict()
    if layout == 'mmseg':
        weights = convert(weights, 'mmseg')
        assert 'layers.0.0.norm1.weight' in weights
    with torch.no_grad():
        given = dict(images=images, levels=model(images), weights=weights)
    torch.save(given, tmp_path / 'given.pth')
    torch.save(weights, tmp_path / 'weights.pth')
    done = subprocess.run(
        [sys.executable, '-c', RUN.format(name=family.__name__, arch=arch)],
        cwd=tmp_path,
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
