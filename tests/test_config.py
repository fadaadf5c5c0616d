import sys
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config

from twins_mm import config
from twins_mm.config import (
    adapt_to_cpu,
    batch_size,
    check_mixed_precision,
    check_pretrained,
    data_sets,
    describe_batch,
    drop_pretrained,
    move_data,
    walk,
)
from twins_mm.errors import UserError
from twins_mm.tasks import require_library

PRETRAINED = dict(type='Pretrained', checkpoint='x.pth')


def test_walk_reaches_every_dict():
    nest = dict(a=dict(n=1), b=[dict(n=2), (dict(n=3), [dict(n=4)])], c='text')
    assert [node['n'] for node in walk(nest) if 'n' in node] == [1, 2, 3, 4]


def test_drop_pretrained_leaves_other_initialisation():
    normal = dict(type='Normal', layer='Conv2d')
    cfg = Config(
        dict(
            load_from='x.pth',
            model=dict(
                pretrained='torchvision://resnet50',
                backbone=dict(init_cfg=PRETRAINED),
                heads=[dict(init_cfg=normal), dict(init_cfg=PRETRAINED)],
                neck=dict(init_cfg=[normal, PRETRAINED]),
                aux=dict(init_cfg=[PRETRAINED]),
            ),
        )
    )
    drop_pretrained(cfg)
    assert cfg.load_from is cfg.model.pretrained is cfg.model.backbone.init_cfg is None
    assert [head.init_cfg for head in cfg.model.heads] == [normal, None]
    assert cfg.model.neck.init_cfg == [normal] and cfg.model.aux.init_cfg is None


@pytest.mark.parametrize('checkpoint', ['there.pth', 'hf://timm/x', 'torchvision://resnet50'])
def test_weights_that_exist_or_are_downloaded_are_accepted(checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'there.pth').touch()
    check_pretrained(
        Config(dict(model=dict(backbone=dict(init_cfg=dict(PRETRAINED, checkpoint=checkpoint)))))
    )


@pytest.mark.parametrize('init', [PRETRAINED, [dict(type='Normal', layer='Linear'), PRETRAINED]])
def test_file_of_weights_that_is_missing_is_named(init):
    backbone = dict(init_cfg=init)
    with pytest.raises(UserError, match=r'x\.pth, which is not there(.|\n)*init_cfg=None'):
        check_pretrained(Config(dict(model=dict(backbone=backbone))))


@pytest.mark.parametrize(
    ('supported', 'kind', 'precision'),
    [(True, 'BFloat16OptimWrapper', 'bfloat16'), (False, 'OptimWrapper', 'float32')],
)
def test_adapt_to_cpu_replaces_sync_bn_and_amp(supported, kind, precision, monkeypatch):
    monkeypatch.setattr(config, 'multiplies_bfloat16', lambda: supported)
    cfg = Config(
        dict(
            model=dict(heads=[dict(norm_cfg=dict(type='SyncBN', requires_grad=True))]),
            optim_wrapper=dict(type='AmpOptimWrapper', loss_scale=512.0, clip_grad=None),
        )
    )
    notes = adapt_to_cpu(cfg)
    assert cfg.model.heads[0].norm_cfg == dict(type='BN', requires_grad=True)
    assert cfg.optim_wrapper == dict(type=kind, clip_grad=None)
    assert ['SyncBN' in note for note in notes] == [True, False]
    assert precision in notes[1]


@pytest.mark.parametrize(
    ('device', 'has', 'allowed'),
    [
        ('cpu', dict(_is_avx512_bf16_supported=lambda: True), True),
        ('cpu', dict(_is_avx512_bf16_supported=lambda: False), False),
        ('cpu', {}, False),  # an older torch
        ('cuda', {}, True),
    ],
)
def test_amp_needs_a_gpu_or_products_in_bfloat16(device, has, allowed, monkeypatch):
    monkeypatch.setattr(config, 'get_device', lambda: device)
    monkeypatch.setattr(torch, 'cpu', SimpleNamespace(**has))
    message = r'^--amp needs a GPU, or a CPU that multiplies bfloat16 \(AVX-512 BF16 or AMX\)$'
    with nullcontext() if allowed else pytest.raises(UserError, match=message):
        check_mixed_precision()


@pytest.mark.parametrize('norm', ['BN', 'GN'])
def test_adapt_to_cpu_is_silent_when_it_changes_nothing(norm):
    cfg = Config(dict(model=dict(norm_cfg=dict(type=norm))))
    assert adapt_to_cpu(cfg) == []
    assert cfg.model.norm_cfg.type == norm


@pytest.mark.parametrize(
    ('wrapped', 'names'),
    [
        (dict(type='a', pipeline=[dict(type='step')]), 'a'),
        (dict(type='RepeatDataset', dataset=dict(type='a')), 'a'),
        (
            dict(
                type='Concat',
                datasets=[dict(type='a'), dict(type='Repeat', dataset=dict(type='b'))],
            ),
            'ab',
        ),
        ([dict(type='a'), dict(type='b')], 'ab'),
    ],
)
def test_data_sets_are_found_in_their_wrappers(wrapped, names):
    found = data_sets(Config(dict(loader=dict(batch_size=1, dataset=wrapped))).loader)
    assert [data_set['type'] for data_set in found] == list(names)


def coco(root):
    """Loaders with all kinds of wrappers, evaluators and a pipeline with data in `root`."""
    data = dict(
        type='CocoDataset',
        data_root=root,
        ann_file='annotations/train.json',
        data_prefix=dict(img='data/coco'),
    )  # relative to the root, despite its name
    boxes = f'{root.rstrip("/")}/annotations/val.json'
    metric = dict(type='CocoMetric', ann_file=boxes, metric=['bbox'])
    return Config(
        dict(
            data_root=root,
            load_from='data/coco/best.pth',
            test_dataloader=None,
            train_dataloader=dict(dataset=dict(type='RepeatDataset', dataset=data)),
            val_dataloader=dict(dataset=dict(type='ConcatDataset', datasets=[data, data])),
            val_evaluator=[metric, dict(type='Mine', ann_file='data/coconut/val.json')],
            test_evaluator=metric,
            test_pipeline=[dict(type='LoadProposals', files=(boxes,))],
        )
    )


@pytest.mark.parametrize('new', ['/mnt/coco', '/mnt/coco/', 'data/coco/2017', 's3://bucket/coco'])
@pytest.mark.parametrize('old', ['data/coco/', './data/coco', '/data/coco'])
def test_data_moves_in_loaders_and_evaluators(old, new):
    cfg = coco(old)
    move_data(cfg, new)
    assert cfg.to_dict() == coco(new).to_dict()


@pytest.mark.parametrize(
    ('roots', 'found'),
    [(['data/a', 'data/b/'], 'data/a, data/b'), ([None, ''], 'none'), (['./'], 'none')],
)
def test_data_without_exactly_one_root_is_not_moved(roots, found):
    loader = dict(dataset=dict(datasets=[dict(data_root=root) for root in roots]))
    with pytest.raises(UserError, match=f'this one has {found}. Set each path with --cfg-options'):
        move_data(Config(dict(train_dataloader=loader)), '/mnt')


def test_relative_paths_move_with_the_configs_data_root():
    cfg = Config(
        dict(
            data_root='data/coco/',
            train_dataloader=dict(
                dataset=dict(
                    data_root=None,
                    ann_file='data/coco/train.json',
                    data_prefix=dict(img='data/coco/train'),
                )
            ),
        )
    )
    move_data(cfg, '/mnt')
    assert cfg.train_dataloader.dataset == dict(
        data_root=None, ann_file='/mnt/train.json', data_prefix=dict(img='/mnt/train')
    )


@pytest.mark.parametrize(
    ('wrapper', 'images', 'text'),
    [
        (None, 64, '64 (4 x 16)'),
        (dict(type='OptimWrapper'), 64, '64 (4 x 16)'),
        (dict(type='OptimWrapper', accumulative_counts=2), 128, '128 (4 x 16 x 2 accumulated)'),
    ],
)
def test_batch_counts_accumulated_iterations(wrapper, images, text):
    cfg = Config(dict(train_dataloader=dict(batch_size=16), optim_wrapper=wrapper))
    assert batch_size(cfg, processes=4) == images
    assert describe_batch(cfg, processes=4) == text


def test_missing_library_is_one_message(monkeypatch):
    monkeypatch.setitem(sys.modules, 'mmpretrain', None)  # cannot be imported
    with pytest.raises(UserError, match=r'Classifiers need mmpretrain.*pip install -e .\[imagenet'):
        require_library(Config(dict(default_scope='mmpretrain')))
    require_library(Config(dict(default_scope='mmdet')))
