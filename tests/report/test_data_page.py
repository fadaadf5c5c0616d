import json
import re
import runpy
from html import unescape
from pathlib import Path

import pytest
from data.small_sets import CLASSES, SPLITS, make_own_sets

from twins_mm.data.survey import Survey
from twins_mm.files.shipped import TOOLS

CONFIGS = Path(__file__).parents[2] / 'configs'
CONFIG = """\
_base_ = 'twins_mm::{recipe}.py'
from twins_mm.data.own_data import use_own_data

use_own_data(_base_, data_root='own', length=1, **{sets})
"""
SETS = dict(
    mask_rcnn_twins_svt_s_1x=dict(
        classes=['apple', 'pear'],
        train=dict(ann_file='train.json'),
        val=dict(ann_file='val.json'),
        data_prefix=dict(img='photos/'),
    ),
    upernet_twins_pcpvt_s_160k=dict(
        classes=['background', 'apple', 'pear'],
        **{
            split: dict(
                data_prefix=dict(img_path=f'images/{split}', seg_map_path=f'labels/{split}')
            )
            for split in ('train', 'val')
        },
    ),
)


@pytest.fixture
def check(call_tool, tmp_path):
    """Runs the tool on small sets after a fault is put in; returns its output and the page."""

    def run(recipe, break_it, status):
        break_it(make_own_sets(tmp_path / 'own'))
        (tmp_path / 'fruit.py').write_text(CONFIG.format(recipe=recipe, sets=SETS[recipe]))
        output = call_tool('check_data', 'fruit.py', '--workers', 1, status=status)
        page = (tmp_path / 'work_dirs/fruit/data/data.html').read_text()
        return output, unescape(re.sub('<wbr>|src="[^"]*"', '', page)), page.count('<img ')

    return run


@pytest.mark.parametrize('recipe', SETS)
def test_healthy_data(recipe, check):
    output, page, pictures = check(recipe, lambda root: None, status=0)
    assert 'ERROR' not in output and 'warning:' not in output
    assert 'Ready' in page and 'Findings' not in page
    # Sizes of images, of objects for detectors, and samples: 4 of train, 3 of val.
    assert pictures == 7 + (2 if 'rcnn' in recipe else 1)


def break_box(root):
    content = json.loads((root / 'train.json').read_text())
    content['annotations'][0].update(category_id=3)
    content['annotations'][3].update(bbox=[90, 60, 30, 30])
    (root / 'train.json').write_text(json.dumps(content))


def break_labels(root):
    path = root / 'labels/train/train_0.png'
    path.write_bytes((root / 'photos/train_0.jpg').read_bytes())


@pytest.mark.parametrize(
    ('recipe', 'break_it', 'messages', 'pictures'),
    [
        (
            'mask_rcnn_twins_svt_s_1x',
            break_box,
            [
                'Objects with a category_id that is not among the categories: 1',
                'Boxes that reach beyond the image: 1',
            ],
            2,
        ),
        (
            'upernet_twins_pcpvt_s_160k',
            break_labels,
            ['Label maps with colours instead of labels: 1'],
            1,
        ),
    ],
)
def test_faults_are_explained_and_drawn(recipe, break_it, messages, pictures, check):
    _, _, before = check(recipe, lambda root: None, status=0)
    output, page, after = check(recipe, break_it, status=1)
    assert 'Fix before training' in page
    for message in messages:
        assert message in output
        assert f'{message} in train' in page
    # A sample that can't be drawn may be missing.
    assert before + pictures - 1 <= after <= before + pictures


@pytest.mark.parametrize('recipe', ['mask_rcnn_twins_svt_s_1x', 'semantic_fpn_twins_pcpvt_s_80k'])
def test_toy_data_raises_no_alarm(recipe, call_tool, toy_folder):
    """Its crowds, empty images and unlabelled borders are no faults; most classes are absent."""
    output = call_tool('check_data', CONFIGS / f'{recipe}.py', '--toy', '--out', 'page')
    assert 'ERROR' not in output
    assert set(re.findall('warning: (.*):', output)) == {'Classes without an example'}
    assert (toy_folder / 'page/data.html').is_file()


def test_data_elsewhere(call_tool, toy_folder):
    output = call_tool(
        'check_data',
        CONFIGS / 'retinanet_twins_svt_s_1x.py',
        '--data-root',
        'data/toy/coco',
        '--cfg-options',
        'train_dataloader.dataset.indices=5',
        '--workers',
        0,
    )
    assert 'train: 5 images' in output
    assert '20 images left out' in output


WITHOUT_PALETTE = """
for loader in 'train_dataloader', 'val_dataloader', 'test_dataloader':
    del _base_[loader].dataset.metainfo['palette']
"""


def test_more_classes_than_inherited_colours(call_tool, tmp_path):
    root = make_own_sets(tmp_path / 'own')
    others = [f'class {number}' for number in range(198)]
    for split in SPLITS:
        content = json.loads((root / f'{split}.json').read_text())
        content['categories'][:0] = [
            dict(id=100 + number, name=name) for number, name in enumerate(others)
        ]
        (root / f'{split}.json').write_text(json.dumps(content))
    sets = dict(SETS['mask_rcnn_twins_svt_s_1x'], classes=[*others, *CLASSES])
    (tmp_path / 'many.py').write_text(
        CONFIG.format(recipe='mask_rcnn_twins_svt_s_1x', sets=sets) + WITHOUT_PALETTE
    )
    output = call_tool('check_data', 'many.py', '--workers', 1)
    assert 'ERROR' not in output
    assert len(list((tmp_path / 'work_dirs/many/data').glob('sample_*.jpg'))) == 7


def test_number_of_workers_is_checked(call_tool, tmp_path):
    make_own_sets(tmp_path / 'own')
    recipe = 'mask_rcnn_twins_svt_s_1x'
    (tmp_path / 'fruit.py').write_text(CONFIG.format(recipe=recipe, sets=SETS[recipe]))
    output = call_tool('check_data', 'fruit.py', '--workers', -1, status=None)
    assert '--workers -1' in output


def test_one_class_is_singular(capsys):
    print_findings = runpy.run_path(str(TOOLS / 'check_data.py'))['print_findings']
    print_findings(
        Survey('train', None, ('apple',), image_sizes={(4, 4): 1}, amounts={0: 1}), 'objects'
    )
    assert capsys.readouterr().out == '\ntrain: 1 image, 1 object, 1 class\n'


def test_out_that_cannot_be_written_is_reported_before_reading(call_tool, tmp_path):
    make_own_sets(tmp_path / 'own')
    recipe = 'mask_rcnn_twins_svt_s_1x'
    (tmp_path / 'fruit.py').write_text(CONFIG.format(recipe=recipe, sets=SETS[recipe]))
    (tmp_path / 'taken').touch()
    output = call_tool('check_data', 'fruit.py', '--workers', 0, '--out', 'taken', status=1)
    assert 'error: --out taken' in output and 'reading' not in output
