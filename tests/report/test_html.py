import base64
import re
from html.parser import HTMLParser

from twins_mm.report.html import callout, details, heading, make_page, paragraph, pictures, table


def test_page_is_complete_and_self_contained(tmp_path):
    class Tags(HTMLParser):
        def __init__(self):
            super().__init__()
            self.open, self.links, self.text = [], [], ''

        def handle_starttag(self, tag, attrs):
            if tag not in ('meta', 'img'):
                self.open.append(tag)
            self.links += [value for key, value in attrs if key in ('src', 'href')]

        def handle_endtag(self, tag):
            assert self.open.pop() == tag

        def handle_data(self, data):
            self.text += data

    (tmp_path / 'loss.png').write_bytes(b'a picture')
    tags = Tags()
    tags.feed(
        make_page(
            'Title',
            [
                heading(2, 'Run <1>'),
                callout('bad', 'Title', 'a < b'),
                paragraph('words & more'),
                details('more', table(['key', 'value'], [['a|b', '<i>']])),
                table(['key', 'value'], []),
                pictures({tmp_path / 'loss.png': 'The <loss>'}),
            ],
        )
    )
    assert tags.open == []
    assert tags.links == [f'data:image/png;base64,{base64.b64encode(b"a picture").decode()}']
    for words in ('Run <1>', 'a < b', 'words & more', 'a|b', '<i>', 'The <loss>'):
        assert words in tags.text


def test_numbers_are_aligned_to_the_right():
    columns = table(
        ['name', 'count', 'change', 'mixed'],
        [['7 dogs', '1,500', '+0.5%', '8'], ['cats', '-2e-05', '-1', 'none']],
    )
    assert re.findall('class="number">(.*?)<', columns) == [
        'count',
        'change',
        '1,500',
        '+0.5%',
        '-2e-05',
        '-1',
    ]


def test_long_names_break_between_their_parts():
    page = table(['run', 'verdict'], [['work_dirs/a', 'unknown']])
    assert '<td>work_<wbr>dirs/<wbr>a</td><td>unknown</td>' in page
