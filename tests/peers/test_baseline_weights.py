"""The weights that baselines start from fill their backbones.

Names and shapes are those of the published files, the values are not: nothing is downloaded.
"""

import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from twins_mm.paper.baselines import BASELINES
from twins_mm.paper.costs import build_on_meta
from twins_mm.paper.figures import TABLES

CONFIGS = Path(__file__).parents[2] / 'configs/baselines'
# Tensors of the backbone that no classifier has, and of the classifier that the backbone lacks.
NEW = dict(swin=r'norm\d\.', swin_t_cpvt=r'norm\d\.|.+\.pos_block\.')
LEFT = dict(
    resnet=r'fc\.',
    resnext=r'fc\.',
    pvt=r'cls_token|norm\.|head\.',
    swin=r'norm\.|head\.',
    swin_t_cpvt=r'norm\.|head\.|.+\.relative_position_',
)
# With an output of each stage. All other baselines have one of these backbones.
CASES = [
    *(f'mask_rcnn_{baseline}_1x' for baseline in BASELINES),
    'semantic_fpn_resnet_50_80k',
    'semantic_fpn_resnet_101_80k',
    'semantic_fpn_resnext_101_64x4d_80k',
]
PVT = 'https://github.com/whai362/PVT/releases/download/v2/'
PVT_DEPTHS = {
    'pvt_small.pth': (3, 4, 6, 3),
    'pvt_medium.pth': (3, 4, 18, 3),
    'pvt_large.pth': (3, 8, 27, 3),
}


def read(name):
    """The backbone of a baseline."""
    return Config.fromfile(CONFIGS / f'{name}.py').model.backbone


def names_like(patterns, config, names):
    """Those that match the pattern of a config's baseline, or of its family."""
    baseline = max((baseline for baseline in BASELINES if baseline in config), key=len)
    pattern = patterns.get(baseline, patterns.get(baseline.partition('_')[0], '$'))
    return {name for name in names if re.match(pattern, name)}


def find_in_timm(address):
    """timm's name of the classifier whose weights are at an address."""
    import timm

    names = [
        name
        for name in timm.list_pretrained()
        if address
        in (timm.get_pretrained_cfg(name).url, f'hf://{timm.get_pretrained_cfg(name).hf_hub_id}')
    ]
    assert len(names) == 1, f'timm knows no weights at {address}'
    return names[0]


def name_pvt(depths):
    """What is in a file of PVT, as `classification/pvt.py` of its authors builds it."""
    shapes, inputs = {}, 3

    def add(name, *shape):
        shapes.update({f'{name}.weight': shape, f'{name}.bias': shape[:1]})

    for stage, (dim, depth, ratio, reduction, tokens) in enumerate(
        zip(
            (64, 128, 320, 512), depths, (8, 8, 4, 4), (8, 4, 2, 1), (56**2, 28**2, 14**2, 7**2 + 1)
        ),
        1,
    ):
        patch = 4 if stage == 1 else 2
        shapes[f'pos_embed{stage}'] = (1, tokens, dim)
        add(f'patch_embed{stage}.proj', dim, inputs, patch, patch)
        add(f'patch_embed{stage}.norm', dim)
        for block in (f'block{stage}.{index}' for index in range(depth)):
            add(f'{block}.norm1', dim)
            add(f'{block}.attn.q', dim, dim)
            add(f'{block}.attn.kv', 2 * dim, dim)
            add(f'{block}.attn.proj', dim, dim)
            if reduction > 1:
                add(f'{block}.attn.sr', dim, dim, reduction, reduction)
                add(f'{block}.attn.norm', dim)
            add(f'{block}.norm2', dim)
            add(f'{block}.mlp.fc1', ratio * dim, dim)
            add(f'{block}.mlp.fc2', dim, ratio * dim)
        inputs = dim
    shapes['cls_token'] = (1, 1, inputs)
    add('norm', inputs)
    add('head', 1000, inputs)
    return {name: torch.empty(shape, device='meta') for name, shape in shapes.items()}


def publish(cfg):
    """What is in the file that a backbone starts from, on `meta`."""
    import timm
    from timm.models.swin_transformer import checkpoint_filter_fn

    address = cfg.init_cfg.checkpoint
    if address.startswith(PVT):
        return name_pvt(PVT_DEPTHS[address.removeprefix(PVT)])
    model_name = find_in_timm(address)
    with torch.device('meta'):
        model = timm.create_model(model_name)
    weights = model.state_dict()
    if not model_name.startswith('swin'):
        return weights
    # Swin's authors merge patches after a stage, timm before the next; their file has buffers too.
    released = {}
    for name, value in weights.items():
        if name.endswith('bias_table'):
            released[name.replace('bias_table', 'index')] = torch.empty(
                49, 49, dtype=torch.long, device='meta'
            )
        name = re.sub(r'\d(?=\.downsample)', lambda stage: str(int(stage[0]) - 1), name)
        released[name.replace('head.fc.', 'head.')] = value
    assert checkpoint_filter_fn(released, model).keys() == weights.keys()
    return released


def fill(cfg, published, folder):
    """Loads a file as a config does: the backbone, what it lacks, and what it left in the file."""
    numbered = {
        name: torch.tensor(number, dtype=value.dtype).expand(value.shape)
        for number, (name, value) in enumerate(published.items())
    }
    is_swin = 'Swin' in cfg.type  # its authors' files have more than weights
    torch.save(dict(model=numbered) if is_swin else numbered, folder / 'published.pth')
    cfg.init_cfg.checkpoint = str(folder / 'published.pth')
    backbone = build_on_meta(cfg, 'mmdet').to_empty(device='cpu')
    state = backbone.state_dict()
    for value in state.values():
        value.fill_(-1)
    backbone.init_weights()
    # Both ends, because mmdet's PVT joins two tensors.
    taken = {end.item() for value in state.values() for end in value.aminmax()}
    return (
        state,
        {name for name, value in state.items() if value.min() < 0},
        {name for number, name in enumerate(numbered) if number not in taken},
    )


def test_every_baseline_has_a_backbone_that_is_tested():
    def parts_of(name):
        return {
            key: value
            for key, value in read(name).to_dict().items()
            if key not in ('drop_path_rate', 'out_indices')
        }

    tested = [parts_of(name) for name in CASES]
    others = {path.stem for path in CONFIGS.glob('*.py')} - {*CASES}
    # The classifier is trained from random weights.
    assert [name for name in others if parts_of(name) not in tested] == ['swin_t_cpvt']


@pytest.mark.parametrize('name', CASES)
def test_weights_fill_the_backbone(name, tmp_path):
    cfg = read(name)
    published = publish(cfg)
    state, lacking, left = fill(cfg, published, tmp_path)
    assert lacking == names_like(NEW, name, state)
    assert left == names_like(LEFT, name, published)


def test_torchvisions_weights_do_not_fill_the_stem_of_segmentors(tmp_path):
    published = publish(read('mask_rcnn_resnet_50_1x'))
    state, lacking, _ = fill(read('semantic_fpn_resnet_50_80k'), published, tmp_path)
    assert lacking == {name for name in state if name.startswith('stem.')}
    assert len(lacking) == 18


@pytest.mark.parametrize(
    ('name', 'row'),
    [
        ('pvt_small.pth', 'PVT-Small'),
        ('pvt_medium.pth', 'PVT-Medium'),
        ('pvt_large.pth', 'PVT-Large'),
    ],
)
def test_files_of_pvt_have_the_parameters_of_table_1(name, row):
    numbers = sum(value.numel() for value in name_pvt(PVT_DEPTHS[name]).values())
    assert numbers / 1e6 == pytest.approx(TABLES[1].rows[row][0], abs=0.05)


@pytest.mark.parametrize(
    'name',
    ['mask_rcnn_resnet_50_1x', 'semantic_fpn_resnet_50_80k', 'mask_rcnn_resnext_101_32x4d_1x'],
)
def test_maps_are_timms(name):
    """With the same weights, so they are where they belong, and strides are the same."""
    import timm

    torch.manual_seed(0)
    cfg = read(name)
    theirs = timm.create_model(
        find_in_timm(cfg.init_cfg.checkpoint), features_only=True, out_indices=(1, 2, 3, 4)
    ).eval()
    for value in theirs.state_dict().values():
        if value.ndim == 1:  # of norms; variances are positive
            torch.nn.init.uniform_(value, 0.5, 1.5)
    ours = build_on_meta(cfg, 'mmdet').to_empty(device='cpu')
    assert not ours.load_state_dict(theirs.state_dict(), strict=False).missing_keys
    images = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        for found, expected in zip(ours(images), theirs(images), strict=True):
            assert (found - expected).abs().max() < 1e-4 * expected.abs().max()
