"""Every fault of boxes and masks is named, and nothing else is."""

import json

import pytest
from data.small_sets import CLASSES, HEIGHT, WIDTH

from twins_mm.errors import UserError
from twins_mm.tasks.findings import KINDS

RECIPE = 'mask_rcnn_twins_svt_s_1x'


def annotation(**changes):
    return lambda content: content['annotations'][0].update(changes)


def image(**changes):
    return lambda content: content['images'][0].update(changes)


def drop(*keys):
    return lambda content: [content['annotations'][0].pop(key) for key in keys]


def reverse(content):
    content['categories'].reverse()


def rename(content):
    content['categories'][1]['name'] = 'Pear'


def repeat(content):
    content['categories'].append(dict(id=9, name='pear'))


def count_from_0(content):
    for item in content['annotations']:
        item['category_id'] = CLASSES.index('apple' if item['category_id'] == 7 else 'pear')


def drop_pears(content):
    content['annotations'] = [item for item in content['annotations'] if item['category_id'] == 7]


def write_shares(content):
    for item in content['annotations']:
        item['bbox'] = [item['bbox'][0] / WIDTH, item['bbox'][1] / HEIGHT, 0.5, 0.5]


def write_corners(content):
    for item in content['annotations']:
        left, top, width, height = item['bbox']
        item['bbox'] = [left, top, left + width, top + height]


RLE = dict(size=[10, 10], counts=[0, 50, 50])


@pytest.mark.parametrize(
    ('break_it', 'faults'),
    [
        (lambda content: None, {}),
        (annotation(category_id=3), dict(unknown_category=1)),
        (annotation(bbox=[8, 10, 0.5, 30]), dict(no_area=1)),
        (annotation(bbox=[8, 10, 32, -30]), dict(no_area=1)),
        (annotation(area=0), dict(no_area_field=1)),
        (annotation(bbox=[200, 10, 30, 30]), dict(outside=1)),
        (annotation(bbox=[-20, 10, 40, 30]), dict(beyond_edge=1)),
        (annotation(bbox=[8, 10, 32, 54.5]), {}),  # rounded
        (annotation(image_id=99), dict(orphans=1)),
        (annotation(segmentation=[]), dict(no_mask=1)),
        (drop('segmentation'), dict(no_mask=1)),
        (annotation(segmentation=[[1, 2, 3, 4]]), dict(broken_polygon=1)),
        (annotation(segmentation=[[8, 8, 8, 8, 8, 8]]), dict(empty_mask=1)),
        (annotation(segmentation=RLE), dict(mask_size=1)),
        (
            annotation(
                segmentation=dict(size=[HEIGHT, WIDTH], counts=[0, 50, WIDTH * HEIGHT - 50]),
                iscrowd=1,
            ),
            {},
        ),
        (image(width=HEIGHT, height=WIDTH), dict(wrong_size=1, beyond_edge=1)),
        (image(file_name='gone.jpg'), dict(unreadable=1)),
        (reverse, dict(class_order=1)),
        (rename, dict(class_not_in_file=1, other_class=6, never_seen=1)),
        (repeat, dict(repeated_category=1)),
        (count_from_0, dict(unknown_category=12, no_objects=1)),
        (drop_pears, dict(never_seen=1)),
        (write_shares, dict(no_area=12, no_objects=1)),
        (write_corners, dict(beyond_edge=7)),
    ],
)
def test_fault_is_named(break_it, faults, own_sets, find_faults):
    path = own_sets / 'train.json'
    content = json.loads(path.read_text())
    break_it(content)
    path.write_text(json.dumps(content))
    found, _ = find_faults(RECIPE)
    assert found == {'train': faults, 'val and test': {}}


@pytest.mark.parametrize(
    ('name', 'detail'),
    [
        ('Apple', "'Apple' is not there; the nearest is 'apple'"),
        ('lemon', "'lemon' is not there; the nearest is"),
    ],
)
def test_absent_class_is_named_with_the_nearest(name, detail, find_faults):
    _, (survey, *_) = find_faults(RECIPE, classes=[name, 'pear'])
    _, (finding, *_) = survey.findings['class_not_in_file']
    assert finding.detail.startswith(detail)
    assert survey.has_errors


def test_some_of_the_classes_are_a_warning(find_faults):
    found, surveys = find_faults(RECIPE, classes=['pear'])
    assert found == {'train': dict(other_class=6), 'val and test': dict(other_class=3)}
    assert not any(survey.has_errors for survey in surveys)


def test_detectors_of_boxes_need_no_masks(own_sets, find_faults):
    path = own_sets / 'train.json'
    content = json.loads(path.read_text())
    for item in content['annotations']:
        del item['segmentation']
    path.write_text(json.dumps(content))
    assert find_faults('retinanet_twins_svt_s_1x')[0]['train'] == {}
    assert find_faults(RECIPE)[0]['train'] == dict(no_mask=12)


@pytest.mark.parametrize(
    ('key', 'place'), [('area', 'annotations'), ('bbox', 'annotations'), ('width', 'images')]
)
def test_missing_field_is_named(key, place, own_sets, find_faults):
    path = own_sets / 'train.json'
    content = json.loads(path.read_text())
    del content[place][0][key]
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=f"train.json: train_0.jpg or .* has no field '{key}'"):
        find_faults(RECIPE)


def test_what_is_counted(find_faults):
    _, (train, val) = find_faults(RECIPE, short_side=128)
    assert train.amounts == {0: 6, 1: 6} and train.images == train.amounts
    assert train.image_sizes == {(WIDTH, HEIGHT): 6}
    # 32 x 36 pixels, resized from 64 to 128 on the short side, in half octaves.
    assert val.object_sizes == {12: 6}
    assert pytest.approx(2 * (32 * 36) ** 0.5, rel=0.1) == 2 ** (12 / 2)


def test_mmdet_leaves_out_what_is_named(own_sets, find_faults):
    """The data set itself, for comparison: the check explains each object that it lacks."""
    path = own_sets / 'train.json'
    content = json.loads(path.read_text())
    for number, changes in enumerate(
        [
            dict(category_id=3),
            dict(area=0),
            dict(bbox=[8, 10, 0.5, 30]),
            dict(bbox=[200, 10, 30, 30]),
        ]
    ):
        content['annotations'][2 * number].update(changes)
    path.write_text(json.dumps(content))
    found, (train, _) = find_faults(RECIPE)
    kept = sum(len(train.dataset.get_data_info(index)['instances']) for index in range(6))
    assert 12 - kept == sum(found['train'].values()) == 4


def test_byte_order_mark_is_named_with_its_remedy(own_sets, find_faults):
    path = own_sets / 'train.json'
    path.write_text(path.read_text(), encoding='utf-8-sig')
    with pytest.raises(UserError, match='(?s)train.json .*byte order mark.*without'):
        find_faults(RECIPE)


def test_windows_separator_in_a_file_name_is_named(own_sets, find_faults):
    path = own_sets / 'train.json'
    path.write_text(path.read_text().replace('train_0.jpg', r'sub\\train_0.jpg'))
    _, (train, _) = find_faults(RECIPE)
    ((kind, (count, (finding, *_))),) = train.findings.items()
    assert count == 1
    assert 'backslash' in f'{finding.detail} {KINDS[kind].advice}'
    assert 'Copy the file again' not in KINDS[kind].advice
