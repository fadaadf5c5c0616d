import json

import pytest

from twins_mm.errors import UserError
from twins_mm.inference.progress import Progress, fingerprint, to_line


def line(name, *annotations):
    return to_line(dict(file_name=name, height=4, width=6), list(annotations))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / 'unfinished'


def rank(number, monkeypatch):
    monkeypatch.setattr('twins_mm.inference.progress.get_dist_info', lambda: (number, 3))


def test_lines_of_all_processes_are_sorted_by_name(folder, monkeypatch):
    for number, names in ((2, 'db'), (0, 'ac'), (1, '')):
        rank(number, monkeypatch)
        progress = Progress(folder, {})
        for name in names:
            progress.add(line(name, dict(score=number)))
        progress.close()
    assert [(image['file_name'], annotations) for image, annotations in progress.records()] == [
        ('a', [dict(score=0)]),
        ('b', [dict(score=2)]),
        ('c', [dict(score=0)]),
        ('d', [dict(score=2)]),
    ]
    assert Progress(folder, {}).done == set('abcd')
    progress.remove()
    assert not folder.exists()


@pytest.mark.parametrize('kept', [1, 20, -1])
def test_line_that_was_cut_off_is_written_anew(kept, folder):
    progress = Progress(folder, {})
    progress.add(line('ä.jpg', dict(score=1)))
    progress.add(line('b.jpg', dict(score=2))[:kept])
    progress.close()
    progress = Progress(folder, {})
    assert progress.done == {'ä.jpg'}
    progress.add(line('b.jpg', dict(score=3)))
    progress.close()
    assert [annotations for _, annotations in progress.records()] == [
        [dict(score=3)],
        [dict(score=1)],
    ]


def test_other_arguments_are_refused_and_nothing_is_lost(folder):
    arguments = dict(config=dict(scale=(1, 2)), checkpoint='a.pth')
    progress = Progress(folder, arguments)
    progress.add(line('a'))
    progress.close()
    with pytest.raises(UserError, match=r'other arguments \(checkpoint\)'):
        Progress(folder, dict(arguments, checkpoint='b.pth'))
    assert Progress(folder, arguments).done == {'a'}


def test_run_that_cannot_go_on_begins_anew(folder):
    progress = Progress(folder, {})
    progress.add(line('a'))
    progress.close()
    progress = Progress(folder, {}, resume=False)
    progress.close()
    assert progress.done == set() and list(progress.records()) == []


def test_first_line_that_was_cut_off_is_written_anew(folder):
    Progress(folder, dict(checkpoint='a.pth')).close()
    (part,) = folder.iterdir()
    part.write_text(part.read_text()[:5])
    Progress(folder, dict(checkpoint='b.pth')).close()
    assert json.loads(part.read_text()) == dict(checkpoint='b.pth')


def test_file_with_another_content_is_another(tmp_path):
    path = tmp_path / 'model.pth'
    path.write_bytes(b'1')
    before = fingerprint(str(path))
    assert json.loads(json.dumps(before)) == fingerprint(str(path))
    path.write_bytes(b'12')
    assert fingerprint(str(path)) != before
    assert (
        fingerprint('hf://org/name')
        == fingerprint('hf://org/name')
        != fingerprint('hf://org/other')
    )


def test_run_without_an_image_is_not_unfinished(folder):
    Progress(folder, dict(checkpoint='a.pth')).close()
    Progress(folder, dict(checkpoint='b.pth')).close()
