"""A recipe fitted to own data, and the page that explains it, by its very commands."""

import re
import shlex
from functools import reduce
from operator import getitem
from pathlib import Path

import pytest
from data.small_sets import SPLITS, make_own_sets
from mmengine.config import Config

from twins_mm.config import data_sets, walk
from twins_mm.data.own_data import use_own_data
from twins_mm.errors import UserError
from twins_mm.report.nearest_recipe import expected_lr

REPOSITORY = Path(__file__).parents[2]
CONFIGS = REPOSITORY / 'configs'
BOXES = dict(
    classes=['apple', 'pear'],
    data_root='data/fruit',
    train=dict(ann_file='train.json'),
    val=dict(ann_file='val.json'),
)
LABELS = dict(
    classes=['background', 'apple', 'pear'],
    data_root='data/fruit',
    train=dict(data_prefix=dict(img_path='a', seg_map_path='b')),
    val=dict(data_prefix=dict(img_path='c', seg_map_path='d')),
)


def fitted(name, **arguments):
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    own = LABELS if name.startswith(('semantic', 'upernet')) else BOXES
    use_own_data(cfg, **{**own, 'length': 24, **arguments})
    return cfg


@pytest.mark.parametrize(
    ('name', 'heads', 'type_'),
    [
        ('retinanet_twins_svt_s_1x', ['bbox_head'], 'CocoDataset'),
        ('mask_rcnn_twins_pcpvt_s_3x', ['roi_head.bbox_head', 'roi_head.mask_head'], 'CocoDataset'),
        ('upernet_twins_svt_s_160k', ['decode_head', 'auxiliary_head'], 'BaseSegDataset'),
    ],
)
def test_classes_and_data_are_set_everywhere(name, heads, type_):
    cfg = fitted(name)
    classes = tuple((LABELS if type_ == 'BaseSegDataset' else BOXES)['classes'])
    for head in heads:
        assert reduce(getitem, head.split('.'), cfg.model)['num_classes'] == len(classes)
    for split in ('train', 'val', 'test'):
        (data_set,) = data_sets(cfg[f'{split}_dataloader'])
        assert (data_set['type'], data_set['data_root']) == (type_, 'data/fruit')
        assert data_set['metainfo'].classes == classes
        assert len(set(data_set['metainfo'].palette)) == len(classes)
    assert not [
        node
        for node in walk(cfg)
        if node.get('type') == 'LoadAnnotations' and 'reduce_zero_label' in node
    ]
    if type_ == 'CocoDataset':
        assert cfg.val_evaluator.ann_file == cfg.test_evaluator.ann_file == 'data/fruit/val.json'


def test_test_set_is_separate():
    cfg = fitted('retinanet_twins_svt_s_1x', test=dict(ann_file='test.json'))
    assert cfg.test_evaluator.ann_file == 'data/fruit/test.json'
    assert cfg.test_dataloader.dataset.ann_file == 'test.json'
    assert cfg.val_dataloader.dataset.ann_file == 'val.json'


def test_shared_arguments_reach_all_sets():
    cfg = fitted('upernet_twins_svt_s_160k', img_suffix='.png', reduce_zero_label=True)
    for split in ('train', 'val', 'test'):
        data_set = cfg[f'{split}_dataloader'].dataset
        assert (data_set.img_suffix, data_set.reduce_zero_label) == ('.png', True)


def sizes(cfg):
    """Every size in pipelines and preprocessor, by place."""
    return [
        step[key]
        for part in (
            'train_dataloader',
            'val_dataloader',
            'test_dataloader',
            'tta_pipeline',
            'model',
        )
        for step in walk(cfg.model.data_preprocessor if part == 'model' else cfg.get(part))
        for key in ('scale', 'scales', 'crop_size', 'size')
        if key in step
    ]


@pytest.mark.parametrize(
    ('name', 'short_side'),
    [
        ('mask_rcnn_twins_svt_s_1x', 400),
        ('retinanet_twins_svt_s_3x', 400),
        ('semantic_fpn_twins_svt_s_80k', 256),
    ],
)
def test_short_side_scales_every_size(name, short_side):
    """Half of the recipe's, so that each size is half of the recipe's."""

    def flatten(node):
        return (
            [number for child in node for number in flatten(child)]
            if isinstance(node, (list, tuple))
            else [node]
        )

    before, after = (
        flatten(sizes(fitted(name, **kwargs))) for kwargs in (dict(), dict(short_side=short_side))
    )
    assert len(after) > 4
    assert after == [round(size / 2) for size in before]


def drops(*milestones):
    return lambda share: 0.1 ** sum(share >= milestone for milestone in milestones)


@pytest.mark.parametrize(
    ('name', 'length', 'epoch_length', 'decay'),
    [
        ('retinanet_twins_svt_s_1x', 24, 30, drops(8 / 12, 11 / 12)),
        ('mask_rcnn_twins_svt_s_3x', 50, 7, drops(27 / 36, 33 / 36)),
        (
            'semantic_fpn_twins_svt_s_80k',
            4000,
            None,
            lambda share: 0.99 * (1 - share) ** 0.9 + 0.01,
        ),
        ('upernet_twins_svt_s_160k', 4000, None, lambda share: 1 - share),
    ],
)
def test_length_stretches_the_whole_schedule(name, length, epoch_length, decay):
    """After warm-up, the rates follow the recipe's formula at the same shares of the run."""
    cfg = fitted(name, length=length)
    assert cfg.train_cfg['max_epochs' if epoch_length else 'max_iters'] == length
    for scheduler in cfg.param_scheduler:
        if scheduler.pop('convert_to_iter_based', False):  # as mmengine's Runner does
            scheduler.update(by_epoch=False, end=scheduler.end * epoch_length)
    iterations = length * (epoch_length or 1)
    rates = expected_lr(cfg, iterations, epoch_length)
    for share in (0.25, 0.5, 0.8, 0.99):
        expected = cfg.optim_wrapper.optimizer.lr * decay(share)
        assert rates[int(share * iterations)] == pytest.approx(expected, rel=0.02), share
    assert max(rates) == pytest.approx(cfg.optim_wrapper.optimizer.lr, rel=0.02)
    assert rates.index(max(rates)) <= iterations / 8
    assert cfg.default_hooks.checkpoint.interval == cfg.train_cfg.val_interval
    if '3x' not in name:  # which validates every epoch
        assert 10 <= length / cfg.train_cfg.val_interval <= 12


def test_a_single_scheduler_may_be_a_dict():
    cfg = Config.fromfile(CONFIGS / 'retinanet_twins_svt_s_1x.py')
    cfg.param_scheduler = dict(cfg.param_scheduler[-1])
    use_own_data(cfg, **{**BOXES, 'length': 24})
    assert [scheduler.milestones for scheduler in cfg.param_scheduler] == [[16, 22]]


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(classes='apple'), 'a comma makes a tuple of one'),
        (dict(classes=['apple', 'apple']), 'must be a list of different names'),
        (dict(val={}), 'val has no ann_file, which CocoMetric reads'),
    ],
)
def test_mistakes_are_named(arguments, message):
    with pytest.raises(UserError, match=message):
        fitted('retinanet_twins_svt_s_1x', **arguments)


PAGE = (REPOSITORY / 'docs/own_data.md').read_text()
EXAMPLES = dict(re.findall(r'```python\n# (\w+\.py)\n(.*?)```', PAGE, re.DOTALL))
COMMANDS = [
    line
    for block in re.findall(r'```shell\n(.*?)```', PAGE, re.DOTALL)
    for line in block.splitlines()
]
# Makes a walk short; the page's own lines stay.
FAST = """
model = dict(backbone=dict(init_cfg=None, arch=dict(
    _delete_=True, embed_dims=(64, 128, 256, 512), depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1),
    mlp_ratios=(1, 1, 1, 1), sr_ratios=(8, 4, 2, 1), window_sizes=(7, 7, 7, 7))),
    train_cfg=dict(rcnn=dict(sampler=dict(num=32))), test_cfg=dict(rpn=dict(max_per_img=50)))
train_dataloader = val_dataloader = test_dataloader = dict(num_workers=1)
"""


def commands_of(name):
    """The tools that the page runs with a config, and their arguments."""
    words = [shlex.split(line, comments=True) for line in COMMANDS]
    return [(Path(tool).stem, arguments) for _, tool, *arguments in words if name in arguments]


@pytest.mark.parametrize('name', ['fruit.py', 'fruit_labels.py'])
def test_walk_is_short_and_complete(name):
    assert len([line for line in EXAMPLES[name].splitlines() if line]) <= 10
    assert [tool for tool, _ in commands_of(name)] == ['check_data', 'train', 'test', 'predict']


@pytest.mark.parametrize(
    'name', ['fruit.py', pytest.param('fruit_labels.py', marks=pytest.mark.large)]
)
def test_walk_runs_to_its_end(name, run_tool, tmp_path):
    """The page's config and commands, on a small set, with a small model and a short run."""
    make_own_sets(tmp_path / 'data/fruit')
    (tmp_path / 'new_photos').symlink_to('data/fruit/images/val')
    config = re.sub(r'length=\d+', 'length=2, short_side=64', EXAMPLES[name])
    (tmp_path / name).write_text(config + FAST)
    for tool, arguments in commands_of(name):
        found = [
            [path.relative_to(tmp_path) for path in tmp_path.glob(word)] if '*' in word else [word]
            for word in arguments
        ]  # as a shell does
        output = run_tool(tool, *sum(found, []))
        assert tool != 'check_data' or 'warning:' not in output
    assert (tmp_path / f'work_dirs/{Path(name).stem}/data/data.html').is_file()
    assert list((tmp_path / 'pictures').rglob('*val_*'))
    assert len(list((tmp_path / 'found/pictures').iterdir())) == SPLITS['val']
