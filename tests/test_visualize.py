import cv2
import numpy as np
import pytest
import torch

from twins_mm import TwinsPCPVT, TwinsSVT


@pytest.fixture
def files(tmp_path):
    """An image and weights of two backbones."""
    rng = np.random.default_rng(0)
    cv2.imwrite(str(tmp_path / 'image.jpg'), rng.integers(0, 255, (40, 60, 3), np.uint8))
    (tmp_path / 'page.jpg').write_text('<html>')
    arch = dict(
        embed_dims=(8, 16, 24, 32),
        depths=(2, 2, 2, 2),
        num_heads=(1, 2, 3, 4),
        mlp_ratios=(2, 2, 2, 2),
        sr_ratios=(8, 4, 2, 1),
    )
    torch.save(TwinsSVT(dict(arch, window_sizes=(7, 7, 7, 7))).state_dict(), tmp_path / 'svt.pth')
    torch.save(TwinsPCPVT(arch).state_dict(), tmp_path / 'pcpvt.pth')
    return tmp_path


@pytest.mark.parametrize(
    ('name', 'weights', 'flags', 'rows'),
    [
        ('mask_rcnn_twins_pcpvt_s_1x', 'pcpvt', [], 2),
        ('semantic_fpn_twins_svt_s_80k', 'svt', ['--point', '3,39', '59.5,0'], 5),
    ],
)
def test_picture(name, weights, flags, rows, tiny_config, run_tool, files):
    output = run_tool(
        'visualize',
        tiny_config(name),
        f'{weights}.pth',
        'image.jpg',
        *flags,
        '--out',
        'new/picture.png',
    )
    assert 'picture: new/picture.png' in output
    height, width, _ = cv2.imread(str(files / 'new/picture.png')).shape
    assert width > 1500
    assert height == pytest.approx(rows * (320 * 40 / 60 + 80), abs=2)
    assert [path.name for path in (files / 'new').iterdir()] == ['picture.png']


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (
            ['svt.pth', 'image.jpg', '--point', '60,10'],
            '--point 60,10 is outside the image, which has 60 x 40 pixels',
        ),
        (['svt.pth', 'image.jpg', '--out', 'picture.xyz'], 'must end in .png, .pdf or .svg'),
        (['svt.pth', 'none.jpg'], 'Could not read the image none.jpg'),
        (['svt.pth', 'page.jpg'], 'Could not read the image page.jpg'),
        (['none.pth', 'image.jpg'], 'Checkpoint not found: none.pth'),
        (['pcpvt.pth', 'image.jpg'], 'these are Twins-PCPVT'),
    ],
)
def test_errors_are_reported(args, message, tiny_config, call_tool, files):
    before = set(files.iterdir())
    output = call_tool('visualize', tiny_config('retinanet_twins_svt_s_1x'), *args, status=1)
    assert message in output
    assert {path.name for path in set(files.iterdir()) - before} <= {'tiny.py'}


@pytest.mark.parametrize('size', [(1, 3000), (3000, 1), (30, 2000)])
def test_image_that_is_too_narrow_is_explained(size, tiny_config, call_tool, files, toy_folder):
    cv2.imwrite(str(files / 'narrow.png'), np.zeros((*size, 3), np.uint8))
    config = tiny_config('semantic_fpn_twins_svt_s_80k')
    output = call_tool('visualize', config, 'svt.pth', 'narrow.png', '--toy', status=1)
    assert f'narrow.png cannot be shown: {size[1]} x {size[0]} pixels are too narrow' in output
    assert not (files / 'attention.png').exists()


def test_picture_of_many_points_can_be_drawn(tiny_config, call_tool, files, toy_folder):
    cv2.imwrite(str(files / 'tall.png'), np.zeros((2000, 32, 3), np.uint8))
    config = tiny_config('retinanet_twins_svt_s_1x')
    points = [f'{x},{x}' for x in range(8)]
    call_tool('visualize', config, 'svt.pth', 'tall.png', '--toy', '--point', *points)
    assert max(cv2.imread(str(files / 'attention.png')).shape) <= 30_000


def test_model_without_our_backbone_is_explained(call_tool, files):
    (files / 'resnet.py').write_text("model = dict(backbone=dict(type='ResNet'))")
    output = call_tool('visualize', 'resnet.py', 'svt.pth', 'image.jpg', status=1)
    assert 'This config has no TwinsPCPVT or TwinsSVT or STViT backbone' in output
