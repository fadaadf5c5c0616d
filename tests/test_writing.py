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


def test_keeps_the_old_file_if_writing_fails(tmp_path):
    path = tmp_path / 'picture.png'
    path.write_text('first')
    with pytest.raises(OSError, match='disk'), replacing(path) as partial:
        partial.write_text('half')
        raise OSError('the disk is full')
    assert [(path, path.read_text())] == [(file, 'first') for file in tmp_path.iterdir()]
