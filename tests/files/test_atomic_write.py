from contextlib import suppress
from pathlib import Path

import pytest
from mmengine.config import Config

from twins_mm.benchmark.save import save_results
from twins_mm.files.atomic_write import replacing
from twins_mm.report.data_page import write_data_page
from twins_mm.report.run_page import write_report


def test_replaces_once_everything_is_written(tmp_path):
    path = tmp_path / 'new/picture.png'
    for text in ('first', 'second'):
        with replacing(path) as partial:
            partial.write_text(text)
            assert partial.suffix == '.png'
            assert not path.exists() or path.read_text() == 'first'
        assert path.read_text() == text
    assert list(path.parent.iterdir()) == [path]


def test_link_stays_a_link(tmp_path):
    (tmp_path / 'shelf').mkdir()
    link = tmp_path / 'picture.png'
    link.symlink_to('shelf/picture.png')
    with replacing(link) as partial:
        partial.write_text('first')
    assert link.is_symlink() and (tmp_path / 'shelf/picture.png').read_text() == 'first'


def test_two_may_write_one_file(tmp_path):
    path = tmp_path / 'picture.png'
    with replacing(path) as first, replacing(path) as second:
        first.write_text('first')
        second.write_text('second')
    assert [(path, path.read_text())] == [(file, 'first') for file in tmp_path.iterdir()]


def test_keeps_the_old_file_if_writing_fails(tmp_path):
    path = tmp_path / 'picture.png'
    path.write_text('first')
    with pytest.raises(OSError, match='disk'), replacing(path) as partial:
        partial.write_text('half')
        raise OSError('the disk is full')
    assert [(path, path.read_text())] == [(file, 'first') for file in tmp_path.iterdir()]


PAGES = {
    'report.html': lambda folder: write_report([], [], 0, folder),
    'data.html': lambda folder: write_data_page(Config(dict(default_scope='mmseg')), [], folder),
    'results.json': lambda folder: save_results([], 'A machine', folder),
}
WRITE_TEXT = Path.write_text
each_page = pytest.mark.parametrize('name', PAGES)


@each_page
def test_page_is_complete_or_the_old_one(name, tmp_path, monkeypatch):
    PAGES[name](tmp_path)
    before = (tmp_path / name).read_bytes()

    def fill_disk(path, text, *args, **kwargs):
        WRITE_TEXT(path, text[: len(text) // 2])
        raise OSError('the disk is full')

    monkeypatch.setattr(Path, 'write_text', fill_disk)
    with suppress(OSError):
        PAGES[name](tmp_path)
    assert (tmp_path / name).read_bytes() == before


@each_page
def test_page_is_utf_8_everywhere(name, tmp_path, monkeypatch):
    encodings = []

    def write(path, text, encoding=None, **kwargs):
        encodings.append(encoding)
        return WRITE_TEXT(path, text, encoding, **kwargs)

    monkeypatch.setattr(Path, 'write_text', write)
    PAGES[name](tmp_path)
    assert {encoding or 'unknown' for encoding in encodings} <= {'utf-8'}
