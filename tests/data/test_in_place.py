from typing import Any

import pytest
from mmengine.config import Config

from twins_mm.data.in_place import check_data
from twins_mm.errors import UserError

COCO = dict(
    type='CocoDataset',
    data_root='data/coco',
    ann_file='annotations/train.json',
    data_prefix=dict(img='train2017/'),
)
ADE: dict[str, Any] = dict(
    type='ADE20KDataset',
    data_root='data/ade/ADEChallengeData2016',
    data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    'dataset',
    [
        COCO,
        dict(type='RepeatDataset', times=2, dataset=COCO),
        dict(type='ConcatDataset', datasets=[COCO]),
    ],
    ids=lambda dataset: dataset['type'],
)
def test_missing_files_are_listed(dataset, folder):
    cfg = Config(dict(train_dataloader=dict(dataset=dataset)))
    (folder / 'data/coco/train2017').mkdir(parents=True)
    with pytest.raises(UserError) as caught:
        check_data(cfg, 'train')
    message = str(caught.value)
    assert str(folder / 'data/coco/annotations/train.json') in message
    assert str(folder / 'data/coco/train2017') not in message
    assert 'COCO 2017 is expected in data/coco' in message
    assert 'ln -s /path/to/coco data/' in message
    assert 'python tools/prepare_data.py coco --archives DIR' in message
    assert '--data-root DIR' in message
    assert 'python -m twins_mm.doctor' in message
    assert 'ADE20K' not in message


def test_shared_paths_are_listed_once(folder):
    cfg = Config(dict(train_dataloader=dict(dataset=ADE), val_dataloader=dict(dataset=ADE)))
    with pytest.raises(UserError) as caught:
        check_data(cfg, 'train', 'val')
    assert str(caught.value).count(str(folder)) == 2
    assert 'ADE20K (scene parsing 2016) is expected' in str(caught.value)


def test_user_data_is_listed_without_a_layout(folder):
    cfg = Config(dict(test_dataloader=dict(dataset=dict(COCO, type='Balloons'))))
    with pytest.raises(UserError) as caught:
        check_data(cfg, 'test')
    assert 'is expected in' not in str(caught.value)
    assert 'prepare_data' not in str(caught.value)
    assert '--toy' in str(caught.value)


def test_complete_data_passes(folder):
    for path in ADE['data_prefix'].values():
        (folder / ADE['data_root'] / path).mkdir(parents=True)
    check_data(Config(dict(train_dataloader=dict(dataset=ADE))), 'train')


def test_evaluators_are_checked(folder):
    metric = dict(type='CocoMetric', ann_file='data/coco/annotations/val.json')
    cfg = Config(dict(val_evaluator=[dict(type='IoUMetric'), metric], test_evaluator=metric))
    check_data(cfg, 'train')
    for split in ('val', 'test'):
        with pytest.raises(UserError) as caught:
            check_data(cfg, split)
        assert str(folder / 'data/coco/annotations/val.json') in str(caught.value)


@pytest.mark.parametrize(
    'data_set',
    [
        dict(COCO, data_root='s3://bucket/coco'),
        dict(COCO, data_root=None, ann_file='cluster:s3://bucket/train.json', data_prefix={}),
        dict(COCO, backend_args=dict(backend='petrel', path_mapping={'data/': 's3://bucket/'})),
        dict(type='Generated'),
        dict(COCO, data_root=None, ann_file='', data_prefix=None),
    ],
)
def test_data_that_is_not_on_disk_is_skipped(data_set):
    check_data(Config(dict(train_dataloader=dict(dataset=data_set))), 'train', 'val')


@pytest.mark.parametrize(
    ('changes', 'missing'),
    [
        (dict(data_root=None), {'annotations/train.json', 'train2017'}),
        (dict(ann_file='/nowhere/train.json'), {'/nowhere/train.json', 'data/coco/train2017'}),
        (dict(data_prefix='images'), {'data/coco/annotations/train.json', 'data/coco/images'}),
        (
            dict(ann_file=['1.json', '2.json'], data_prefix=None),
            {'data/coco/1.json', 'data/coco/2.json'},
        ),
        (dict(ann_file='', data_prefix=dict(img='')), {'data/coco'}),
        (
            dict(backend_args=dict(backend='local'), data_prefix={}),
            {'data/coco/annotations/train.json'},
        ),
    ],
)
def test_every_kind_of_path_is_checked(changes, missing, folder):
    cfg = Config(dict(train_dataloader=dict(dataset=dict(COCO, **changes))))
    with pytest.raises(UserError) as caught:
        check_data(cfg, 'train')
    listed, _, _ = str(caught.value).partition('COCO 2017 is expected')
    assert set(listed.split('Missing:')[1].split()) == {str(folder / path) for path in missing}
