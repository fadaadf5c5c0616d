import numpy as np
import pytest
from PIL import Image

from twins_mm.data.survey import resize_ratio
from twins_mm.errors import UserError

RECIPE = 'retinanet_twins_svt_s_1x'


def truncate(root):
    path = root / 'photos/train_0.jpg'
    path.write_bytes(path.read_bytes()[:-800])


def turn(root):
    """An EXIF orientation that mmcv applies, and labelling tools often don't."""
    with Image.open(root / 'photos/train_0.jpg') as image:
        exif = image.getexif()
        exif[0x0112] = 6
        image.save(root / 'photos/train_0.jpg', exif=exif)


def copy(root):
    (root / 'photos/val_1.jpg').write_bytes((root / 'photos/train_1.jpg').read_bytes())


@pytest.mark.parametrize(
    ('break_it', 'changes', 'train', 'val'),
    [
        (truncate, {}, dict(unreadable=1), {}),
        (
            lambda root: (root / 'photos/train_0.jpg').write_text('no image'),
            {},
            dict(unreadable=1),
            {},
        ),
        (turn, {}, dict(wrong_size=1), {}),
        (copy, {}, {}, dict(in_two_sets=1)),
        (
            lambda root: None,
            {'model.bbox_head.num_classes': 80},
            dict(class_count=1),
            dict(class_count=1),
        ),
        (
            lambda root: None,
            {'val_evaluator.ann_file': 'data/coco/val.json'},
            {},
            dict(evaluator_file=1),
        ),
        (
            lambda root: None,
            {'val_dataloader.dataset.ann_file': 'train.json'},
            {},
            dict(in_two_sets=6, evaluator_file=1),
        ),
    ],
)
def test_fault_is_named(break_it, changes, train, val, own_sets, find_faults):
    break_it(own_sets)
    found, _ = find_faults(RECIPE, changes)
    assert (found['train'], found.get('val and test', found.get('val'))) == (train, val)


@pytest.mark.parametrize(
    ('config', 'message'),
    [
        (dict(type='ADE20KDataset'), 'not a subset of classes'),
        (dict(metainfo=dict(classes='apple')), 'metainfo.classes must be a list of names'),
        (dict(pipeline=[]), 'no step that loads images'),
    ],
)
def test_data_set_that_cannot_be_built_is_one_message(config, message, find_faults):
    changes = {f'train_dataloader.dataset.{key}': value for key, value in config.items()}
    with pytest.raises(UserError, match=f'train: .*{message}'):
        find_faults('semantic_fpn_twins_svt_s_80k', changes)


def test_several_sets_in_one_loader(own_sets, find_faults):
    _, (train, _) = find_faults(RECIPE)
    dataset = dict(
        type='CocoDataset',
        data_root=str(own_sets),
        ann_file='val.json',
        data_prefix=dict(img='photos/'),
        metainfo=dict(classes=['apple', 'pear']),
        pipeline=[dict(type='LoadImageFromFile')],
    )
    found, surveys = find_faults(
        RECIPE,
        {
            'train_dataloader.dataset': dict(
                type='ConcatDataset',
                datasets=[dict(dataset, ann_file='train.json'), dataset],
                _delete_=True,
            )
        },
    )
    assert [survey.name for survey in surveys] == ['train 1', 'train 2', 'val and test']
    assert found['val and test'] == dict(in_two_sets=3)


@pytest.mark.parametrize('workers', [1, 2])
def test_processes_read_the_same(workers, own_sets, find_faults):
    from twins_mm.data.survey import _read_images
    from twins_mm.tasks import TASKS

    truncate(own_sets)
    _, (alone, _) = find_faults(RECIPE)
    _, (shared, _) = find_faults(RECIPE)
    for name in ('amounts', 'images', 'image_sizes', 'object_sizes', 'findings', 'digests'):
        getattr(shared, name).clear()
    _read_images(shared, TASKS['detection'], (1333, 800), workers)
    assert (shared.findings, shared.amounts, shared.digests, shared.object_sizes) == (
        alone.findings,
        alone.amounts,
        alone.digests,
        alone.object_sizes,
    )


@pytest.mark.parametrize(
    ('size', 'ratio'),
    [((640, 480), 800 / 480), ((480, 640), 800 / 480), ((2666, 100), 0.5), ((800, 800), 1)],
)
def test_resize_ratio_is_mmcvs(size, ratio):
    import mmcv

    assert resize_ratio(size, (1333, 800)) == pytest.approx(ratio, rel=0.01)
    assert mmcv.rescale_size(size, (1333, 800)) == pytest.approx(
        np.multiply(size, resize_ratio(size, (1333, 800))), abs=1
    )


def test_val_and_test_may_be_the_same_images(find_faults):
    found, _ = find_faults(RECIPE, {'test_dataloader.dataset.pipeline.1.scale': (640, 400)})
    assert found == dict(train={}, val={}, test={})
