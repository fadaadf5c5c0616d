import pytest

from twins_mm.writing import replacing


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
