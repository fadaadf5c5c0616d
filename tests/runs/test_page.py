import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from twins_mm.runs.page import (
    Box,
    Details,
    Heading,
    Pictures,
    Table,
    Text,
    to_html,
    to_markdown,
)


@pytest.fixture
def blocks(tmp_path):
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a/loss.png').write_bytes(b'a picture')
    return [Heading(2, 'Run <1>'), Box('bad', 'Title', 'a < b'), Text('words & more'),
            Details('more', [Table(['key', 'value'], [['a|b', '<i>']])]),
            Pictures({tmp_path / 'a/loss.png': 'The loss'})]


def test_html_is_whole_and_needs_nothing_else(blocks):
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

    tags = Tags()
    tags.feed(to_html('Title', blocks))
    assert tags.open == []
    assert tags.links == [f'data:image/png;base64,{base64.b64encode(b"a picture").decode()}']
    for words in ('Run <1>', 'a < b', 'words & more', 'a|b', '<i>'):
        assert words in tags.text


def test_numbers_are_aligned_to_the_right():
    table = Table(['name', 'count', 'change', 'mixed'],
                  [['7 dogs', '1,500', '+0.5%', '8'], ['cats', '-2e-05', '-1', 'none']])
    assert '| --- | ---: | ---: | --- |' in to_markdown([table], Path())
    assert re.findall('class="number">(.*?)<', to_html('', [table])) == [
        'count', 'change', '1,500', '+0.5%', '-2e-05', '-1']


def test_long_names_break_between_their_parts():
    page = to_html('', [Table(['run', 'verdict'], [['work_dirs/a', 'unknown']])])
    assert '<td>work_<wbr>dirs/<wbr>a</td><td>unknown</td>' in page


def test_markdown(blocks, tmp_path):
    assert to_markdown(blocks, tmp_path) == r"""## Run <1>

> **Title** a < b

words & more

**more**

| key | value |
| --- | --- |
| a\|b | <i> |

![loss](a/loss.png)
*The loss*
"""
