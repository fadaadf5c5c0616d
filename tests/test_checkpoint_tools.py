import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_archs import TINY_ARCHS

from twins_mm import TwinsPCPVT


@pytest.fixture
def weights():
    return TwinsPCPVT(TINY_ARCHS['TwinsPCPVT']).state_dict()


@pytest.mark.parametrize('target', ['timm', 'mmseg', 'mmpretrain'])
def test_round_trip_gives_the_same_bytes(target, weights, call_tool, tmp_path):
    save_file(weights, tmp_path / 'ours.safetensors', dict(format='pt'))
    output = call_tool('convert_checkpoint', 'ours.safetensors', 'new/theirs.pth', '--to', target)
    assert f'new/theirs.pth: {len(torch.load(tmp_path / "new/theirs.pth"))} tensors' in output
    call_tool('convert_checkpoint', 'new/theirs.pth', 'back.safetensors', '--to', 'twins_mm')
    assert (tmp_path / 'back.safetensors').read_bytes() == (
        tmp_path / 'ours.safetensors'
    ).read_bytes()


def test_whole_model_keeps_its_heads_and_its_meta(weights, call_tool, tmp_path):
    weights = {f'backbone.{name}': value for name, value in weights.items()}
    weights['decode_head.conv_seg.weight'] = torch.rand(2, 4, 1, 1)
    code = "open('RUN', 'w')"
    torch.save(
        dict(
            state_dict=weights,
            meta=dict(CLASSES=('a', 'b'), cfg=code, config=code),
            optimizer=dict(state={}),
        ),
        tmp_path / 'ours.pth',
    )
    call_tool('convert_checkpoint', 'ours.pth', 'mmseg.pth', '--to', 'mmseg')
    converted = torch.load(tmp_path / 'mmseg.pth')
    assert converted.keys() == {'state_dict', 'meta'}
    assert converted['meta'] == dict(CLASSES=('a', 'b'))
    assert 'backbone.layers.0.0.norm1.weight' in converted['state_dict']
    assert 'decode_head.conv_seg.weight' in converted['state_dict']
    output = call_tool('convert_checkpoint', 'ours.pth', 'timm.safetensors', '--to', 'timm')
    assert 'left out, because timm has no place for them: decode_head' in output
    assert 'blocks.0.0.norm1.weight' in load_file(tmp_path / 'timm.safetensors')
    assert not (tmp_path / 'RUN').exists()


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['ours.pth', 'ours.pth'], 'ours.pth exists already; choose a new file'),
        (['ours.pth', 'ours.onnx'], 'must end in .safetensors or .pth'),
        (['none.pth', 'new.pth'], 'Checkpoint not found: none.pth'),
        (['other.pth', 'new.pth'], 'No Twins or STViT backbone found; the weights are of conv1'),
    ],
)
def test_failed_conversion_is_reported_and_writes_nothing(
    args, message, weights, call_tool, tmp_path
):
    torch.save(weights, tmp_path / 'ours.pth')
    torch.save(dict(conv1=torch.rand(1)), tmp_path / 'other.pth')
    before = (tmp_path / 'ours.pth').read_bytes()
    output = call_tool('convert_checkpoint', *args, '--to', 'mmseg', status=1)
    assert message in output
    assert {path.name for path in tmp_path.iterdir()} == {'ours.pth', 'other.pth'}
    assert (tmp_path / 'ours.pth').read_bytes() == before


def test_inspection(call_tool, tmp_path):
    torch.save(TwinsPCPVT('small').state_dict(), tmp_path / 'ours.pth')
    lines = dict(
        line.split(maxsplit=1) for line in call_tool('inspect_checkpoint', 'ours.pth').splitlines()
    )
    assert lines['backbone'] == 'Twins-PCPVT-S'
    assert lines['head'] == 'none'
    assert 'configs/_base_/backbones/pcpvt_s.py' in lines['config']


def test_inspection_of_a_file_that_is_not_a_checkpoint(call_tool, tmp_path):
    (tmp_path / 'page.pth').write_text('<!DOCTYPE html>')
    output = call_tool('inspect_checkpoint', 'page.pth', status=1)
    assert 'it is a web page' in output
