import os
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections import namedtuple
from fnmatch import fnmatch
from pathlib import Path

import pytest
from mmengine.config import Config

from twins_mm.data.archives import unpack_archives
from twins_mm.data.data_sets import DATA_SETS
from twins_mm.errors import UserError

TOOL = Path(__file__).parents[2] / 'tools/prepare_data.py'
FOLDERS = dict(coco='', ade20k='ADEChallengeData2016/')
# Other files in the official archives.
OTHERS = {
    'annotations_trainval2017.zip': ['annotations/captions_val2017.json'],
    'ADEChallengeData2016.zip': ['ADEChallengeData2016/objectInfo150.txt'],
}


def shrink(data_set):
    """The data set with at most 3 files where the real one has thousands."""
    return data_set._replace(
        archives=tuple(
            archive._replace(
                contents={pattern: min(count, 3) for pattern, count in archive.contents.items()}
            )
            for archive in data_set.archives
        )
    )


def make_archive(path, names):
    """A zip with entries for folders, like the official ones; files contain their names."""
    with zipfile.ZipFile(path, 'w') as archive:
        for folder in sorted({f'{Path(name).parent}/' for name in names}):
            archive.writestr(folder, '')
        for name in names:
            archive.writestr(name, name * 100)


@pytest.fixture(params=FOLDERS)
def name(request):
    return request.param


@pytest.fixture
def data_set(name):
    return shrink(DATA_SETS[name])


@pytest.fixture
def names(name, data_set):
    """The members of the archives: {archive: [member, ...]}."""
    return {
        archive.name: OTHERS.get(archive.name, [])
        + [
            FOLDERS[name] + pattern.replace('*', str(number))
            for pattern, count in archive.contents.items()
            for number in range(count)
        ]
        for archive in data_set.archives
    }


@pytest.fixture
def folder(names, tmp_path):
    (tmp_path / 'zips').mkdir()
    for archive, members in names.items():
        make_archive(tmp_path / 'zips' / archive, members)
    return tmp_path / 'zips'


@pytest.fixture
def root(data_set, tmp_path):
    return tmp_path / data_set.folder


def read(root):
    return {
        str(path.relative_to(root)): path.read_text() for path in root.rglob('*') if path.is_file()
    }


def expect(name, names):
    return {
        member.removeprefix(FOLDERS[name]): member * 100
        for members in names.values()
        for member in members
    }


def test_files_go_where_the_configs_expect_them(name, data_set, names, folder, root):
    assert unpack_archives(data_set, folder, root) == sum(map(len, names.values()))
    assert read(root) == expect(name, names)


def test_existing_files_are_not_written_again(data_set, folder, root):
    unpack_archives(data_set, folder, root)
    times = {path: path.stat().st_mtime_ns for path in root.rglob('*')}
    assert unpack_archives(data_set, folder, root) == 0
    assert times == {path: path.stat().st_mtime_ns for path in root.rglob('*')}


def test_stopped_run_continues(name, data_set, names, folder, root, monkeypatch):
    total, copied = sum(map(len, names.values())), []

    def copy_until_stopped(source, target, copy=shutil.copyfileobj):
        if len(copied) == total // 2:
            target.write(source.read(5))
            raise KeyboardInterrupt
        copied.append(target.name)
        copy(source, target)

    with monkeypatch.context() as patch, pytest.raises(UserError, match='continues from here'):
        patch.setattr(shutil, 'copyfileobj', copy_until_stopped)
        unpack_archives(data_set, folder, root)
    times = {path: path.stat().st_mtime_ns for path in root.rglob('*') if path.is_file()}
    assert len(times) == total // 2
    assert unpack_archives(data_set, folder, root) == total - total // 2
    assert times == {path: path.stat().st_mtime_ns for path in times}
    assert read(root) == expect(name, names)


def test_incomplete_file_is_replaced(name, data_set, names, folder, root):
    unpack_archives(data_set, folder, root)
    path = max(root.rglob('*.*'))
    path.write_text(path.read_text()[:-1])
    assert unpack_archives(data_set, folder, root) == 1
    assert read(root) == expect(name, names)


def test_damaged_member_is_reported_with_its_archive(data_set, folder, root):
    archive = data_set.archives[0]
    path = folder / archive.name
    content = path.read_bytes()
    last = zipfile.ZipFile(path).namelist()[-1]
    path.write_bytes(content.replace(last.encode() * 100, b'x' * len(last) * 100))
    with pytest.raises(UserError) as caught:
        unpack_archives(data_set, folder, root)
    assert f'{path} is damaged' in str(caught.value)
    assert last in str(caught.value)
    assert f'download it again from {archive.url}' in str(caught.value)
    left = read(root)
    assert left and all('partial_' not in name and not last.endswith(name) for name in left)


def test_incomplete_download_is_reported(data_set, folder, root):
    path = folder / data_set.archives[-1].name
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=f'{path} is damaged'):
        unpack_archives(data_set, folder, root)
    assert not root.exists()


def test_wrong_archive_is_refused(name, data_set, names, folder, root):
    archive = data_set.archives[0]
    pattern = next(iter(archive.contents))
    make_archive(
        folder / archive.name,
        [member for member in names[archive.name] if not member.endswith('/2.jpg')],
    )
    with pytest.raises(UserError) as caught:
        unpack_archives(data_set, folder, root)
    assert f'{folder / archive.name} has 2 files {pattern}, expected 3' in str(caught.value)
    assert not root.exists()


@pytest.mark.parametrize('evil', ['../evil', 'annotations/../../evil', '/tmp/evil'])
def test_archive_that_writes_elsewhere_is_refused(evil, data_set, folder, root):
    with zipfile.ZipFile(folder / data_set.archives[0].name, 'a') as archive:
        archive.writestr(evil, 'x')
    with pytest.raises(UserError, match=f'would write outside of {root}, to {evil}'):
        unpack_archives(data_set, folder, root)
    assert not root.exists()


def test_space_is_checked_for_the_remaining_files(data_set, names, folder, root, monkeypatch):
    size = sum(100 * len(member) for members in names.values() for member in members)
    free = size - 1
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: namedtuple('Usage', 'free')(free))
    with pytest.raises(UserError, match='GB are free there'):
        unpack_archives(data_set, folder, root)
    assert not root.exists()
    free = size
    unpack_archives(data_set, folder, root)
    free = 0
    assert unpack_archives(data_set, folder, root) == 0


def test_missing_archives_are_listed_with_their_urls(data_set, folder, root):
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(UserError) as caught:
        unpack_archives(data_set, folder, root)
    for archive in data_set.archives:
        assert re.search(f'{archive.name} +{archive.url}', str(caught.value))


def test_archive_is_not_needed_once_it_is_unpacked(data_set, folder, root):
    unpack_archives(data_set, folder, root)
    for path in folder.iterdir():
        path.unlink()
    assert unpack_archives(data_set, folder, root) == 0
    file = next(path for path in root.rglob('*') if fnmatch(path.name, '*0.jpg'))
    file.unlink()
    with pytest.raises(UserError, match=data_set.archives[0].name):
        unpack_archives(data_set, folder, root)


def test_foreign_files_are_reported(data_set, folder, root):
    pattern = next(iter(data_set.archives[0].contents))
    stray = root / pattern.replace('*', 'stray')
    stray.parent.mkdir(parents=True)
    stray.touch()
    with pytest.raises(UserError) as caught:
        unpack_archives(data_set, folder, root)
    assert f'{pattern}: 4 of 3 files' in str(caught.value)
    assert stray.exists()


def test_write_error_is_reported(data_set, folder, root):
    root.parent.mkdir(parents=True)
    root.symlink_to(root.parent / 'nowhere')
    with pytest.raises(UserError, match='Could not write'):
        unpack_archives(data_set, folder, root)


@pytest.mark.parametrize('out', ['data', 'elsewhere'])
def test_tool_prints_the_folder_and_the_next_step(
    out, name, data_set, folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(DATA_SETS, name, data_set)
    monkeypatch.setattr('sys.argv', [str(TOOL), name, '--archives', str(folder), '--out', out])
    runpy.run_path(str(TOOL), run_name='__main__')
    output = capsys.readouterr().out
    root = out / data_set.folder.relative_to('data')
    assert f'{data_set.title} is complete in {root}' in output
    link = re.search('ln -s (.*) (.*)', output)
    if out == 'data':
        assert link is None
    else:
        assert (tmp_path / link[1]).is_dir() and link[2] == str(data_set.folder)
    config = re.search(r'tools/train.py (\S+)', output)[1]
    cfg = Config.fromfile(TOOL.parents[1] / config)
    assert cfg.train_dataloader.dataset.type == data_set.type


def test_tool_requires_the_official_archives(name, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr('sys.argv', [str(TOOL), name, '--archives', str(folder)])
    pattern, count = next(iter(DATA_SETS[name].archives[0].contents.items()))
    with pytest.raises(SystemExit, match=f'has 3 files {re.escape(pattern)}, expected {count:,}'):
        runpy.run_path(str(TOOL), run_name='__main__')


def run_commands(name, tmp_path):
    """The commands for a data set's archives in a folder, without downloads and installations."""
    with pytest.raises(UserError, match='is unpacked by these commands') as caught:
        unpack_archives(DATA_SETS[name], tmp_path, tmp_path / 'data' / name)
    commands = [
        line for line in str(caught.value).splitlines()[1:] if not line.startswith(('curl', 'pip'))
    ]
    subprocess.run(['sh', '-e'], input='\n'.join(commands), text=True, check=True, cwd=tmp_path)


def test_imagenets_archives_are_unpacked_by_hand(tmp_path):
    """ImageNet's are tar files of tar files: the commands work on them."""

    def pack(path, files):
        with tarfile.open(path, 'w') as archive:
            for name in files:
                archive.add(tmp_path / name, Path(name).name)

    (tmp_path / 'one.JPEG').write_text('image')
    pack(tmp_path / 'n01440764.tar', ['one.JPEG'])
    pack(tmp_path / 'ILSVRC2012_img_train.tar', ['n01440764.tar'])
    pack(tmp_path / 'ILSVRC2012_img_val.tar', ['one.JPEG'])
    run_commands('imagenet', tmp_path)
    root = tmp_path / 'data/imagenet'
    assert {path.relative_to(root).as_posix() for path in root.rglob('*.*')} == {
        'train/n01440764/one.JPEG',
        'val/one.JPEG',
    }


def test_cityscapes_archives_are_unpacked_by_hand(tmp_path, monkeypatch):
    """Both have a licence; the package that they are for makes the labels of the polygons."""
    images, labels = DATA_SETS['cityscapes'].archives
    for archive, ending in dict(
        leftImg8bit='_leftImg8bit.png', gtFine='_gtFine_polygons.json'
    ).items():
        make_archive(
            tmp_path / f'{archive}_trainvaltest.zip',
            [
                'license.txt',
                *(f'{archive}/{split}/ulm/ulm_0{ending}' for split in ('train', 'val')),
            ],
        )
    script = tmp_path / 'bin/csCreateTrainIdLabelImgs'
    script.parent.mkdir()
    script.write_text("""#!/bin/sh -e
for file in "$CITYSCAPES_DATASET"/gtFine/*/*/*_polygons.json; do
  touch "${file%_polygons.json}_labelTrainIds.png"
done""")
    script.chmod(0o755)
    python = Path(sys.executable).parent
    monkeypatch.setenv('PATH', f'{script.parent}:{python}:{os.environ["PATH"]}')
    run_commands('cityscapes', tmp_path)
    for pattern in [*images.contents, *labels.contents]:
        assert len(list((tmp_path / 'data/cityscapes').glob(pattern))) == 1
