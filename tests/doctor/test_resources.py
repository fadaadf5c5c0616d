import re
import shutil
from collections import namedtuple

import huggingface_hub
import pytest

from twins_mm.data.data_sets import DATA_SETS
from twins_mm.doctor import resources
from twins_mm.doctor.__main__ import CHECKS

TOY = {
    'train2017/*.jpg': 200,
    'val2017/*.jpg': 50,
    'annotations/instances_train2017.json': 1,
    'annotations/instances_val2017.json': 1,
    'images/training/*.jpg': 200,
    'images/validation/*.jpg': 50,
    'annotations/training/*.png': 200,
    'annotations/validation/*.png': 50,
    'leftImg8bit/train/*/*_leftImg8bit.png': 200,
    'leftImg8bit/val/*/*_leftImg8bit.png': 50,
    'gtFine/train/*/*_gtFine_labelTrainIds.png': 200,
    'gtFine/val/*/*_gtFine_labelTrainIds.png': 50,
}
NAMES = dict(COCO='coco', ADE20K='ade20k', Cityscapes='cityscapes')


@pytest.fixture(params=NAMES)
def check(request):
    return request.param


@pytest.fixture
def data(check, tmp_path, toy_data, monkeypatch):
    """Toy data in place of the full data set, where the configs expect it."""
    monkeypatch.chdir(tmp_path)
    layout = DATA_SETS[NAMES[check]]
    monkeypatch.setitem(
        DATA_SETS,
        NAMES[check],
        layout._replace(
            archives=tuple(
                archive._replace(contents={pattern: TOY[pattern] for pattern in archive.contents})
                for archive in layout.archives
            )
        ),
    )
    shutil.copytree(toy_data / layout.folder.name, layout.folder)
    return tmp_path / layout.folder


def test_complete_data_is_found(check, data):
    assert CHECKS[check]() == ('ok', f'complete in {data}', '')


def test_linked_data_is_found(check, data, tmp_path):
    data.rename(tmp_path / 'elsewhere')
    data.symlink_to(tmp_path / 'elsewhere')
    assert CHECKS[check]().message == f'complete in {tmp_path / "elsewhere"}'


def test_missing_data_is_no_fault_and_has_a_fix(check, data):
    shutil.rmtree(data)
    finding = CHECKS[check]()
    assert finding.state == 'info'
    assert str(data) in finding.message
    assert finding.fix == f'python -m twins_mm prepare_data {NAMES[check]} --archives DIR'


def test_link_that_leads_nowhere_is_wrong(check, data):
    shutil.rmtree(data)
    data.symlink_to('/not/mounted')
    finding = CHECKS[check]()
    assert finding == ('wrong', f'{data} leads to /not/mounted, which is not there', '')


@pytest.mark.parametrize('part', [0, 1, -1])
def test_incomplete_data_is_wrong(part, check, data):
    contents = [
        item for archive in DATA_SETS[NAMES[check]].archives for item in archive.contents.items()
    ]
    pattern, count = contents[part]
    next(data.glob(pattern)).unlink()
    finding = CHECKS[check]()
    assert finding.state == 'wrong'
    assert finding.message == f'{data}: {pattern}: {count - 1} of {count} files'
    assert f'twins_mm prepare_data {NAMES[check]}' in finding.fix


@pytest.mark.parametrize('content', [b'', b'<html>'])
def test_image_that_does_not_decode_is_wrong(content, check, data):
    for path in data.rglob('*.*'):
        if path.suffix in ('.jpg', '.png') and ('val' in path.parent.name):
            path.write_bytes(content)
    finding = CHECKS[check]()
    assert finding.state == 'wrong'
    path = re.fullmatch('(.*) is damaged', finding.message)[1]
    assert finding.fix.startswith(f'rm {path} && python -m twins_mm prepare_data')


def test_sizes_of_the_real_data_sets():
    """From the papers and the official pages; mmdet's and mmseg's docs agree."""
    counts = {
        pattern: count
        for layout in DATA_SETS.values()
        for archive in layout.archives
        for pattern, count in archive.contents.items()
    }
    assert counts == {
        **dict.fromkeys(TOY, 1),
        **{
            'train2017/*.jpg': 118287,
            'val2017/*.jpg': 5000,
            'images/training/*.jpg': 20210,
            'images/validation/*.jpg': 2000,
            'annotations/training/*.png': 20210,
            'annotations/validation/*.png': 2000,
            'train/*/*.JPEG': 1281167,
            'val/**/*.JPEG': 50000,
            'leftImg8bit/train/*/*_leftImg8bit.png': 2975,
            'leftImg8bit/val/*/*_leftImg8bit.png': 500,
            'gtFine/train/*/*_gtFine_labelTrainIds.png': 2975,
            'gtFine/val/*/*_gtFine_labelTrainIds.png': 500,
        },
    }


@pytest.mark.parametrize(
    ('cached', 'reachable', 'state', 'message'),
    [
        (10, False, 'ok', '10 of 10 are in the cache'),
        (2, True, 'ok', '2 of 10 are in the cache; the hub has the others'),
        (0, False, 'warning', '0 of 10 are in the cache, and the hub is unreachable (OSError: no'),
    ],
)
def test_weights(cached, reachable, state, message, monkeypatch):
    seen = []

    def look(name, file):
        seen.append(name)
        return 'path' if len(seen) <= cached else None

    def ask(url, timeout):
        assert url.endswith(f'{seen[cached]}/resolve/main/model.safetensors')
        if not reachable:
            raise OSError('no way')

    monkeypatch.setattr(huggingface_hub, 'try_to_load_from_cache', look)
    monkeypatch.setattr(huggingface_hub, 'get_hf_file_metadata', ask)
    finding = CHECKS['weights']()
    assert set(seen) == {
        *(
            f'timm/twins_{family}_{size}.in1k'
            for family in ('pcpvt', 'svt')
            for size in ('small', 'base', 'large')
        ),
        *(
            f'timm/{name}.gluon_in1k'
            for name in ('resnet50c', 'resnet101c', 'resnext101_32x4d', 'resnext101_64x4d')
        ),
    }
    assert finding.state == state
    assert finding.message.startswith(message)
    assert ('init_cfg.checkpoint=FILE' in finding.fix) == (state == 'warning')


def test_no_weights_at_all_are_wrong(monkeypatch, tmp_path):
    monkeypatch.setattr(resources, 'CONFIGS', tmp_path)
    finding = CHECKS['weights']()
    assert finding.state == 'wrong'
    assert str(tmp_path) in finding.message and 'pip install' in finding.fix


@pytest.mark.parametrize(('free', 'state'), [(500, 'ok'), (3, 'warning')])
def test_disk(free, state, monkeypatch):
    monkeypatch.setattr(shutil, 'disk_usage', lambda _: namedtuple('Usage', 'free')(free * 1e9))
    finding = CHECKS['disk']()
    assert finding.state == state
    assert f'{free} GB' in finding.message
