import base64
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from twins_mm.report.page import TEMPLATES, fit_page

PAGE = """
{% extends 'page.html' %}
{% from 'parts.html' import callout, long_table, pictures, table %}
{% block content %}
<h2>{{ heading }}</h2>
{{ callout('bad', 'Title', 'a < b') }}
<p>{{ text }}</p>
{{ long_table('more', ['key', 'value'], [['a|b', '<i>']], 0) }}
{{ table(['key', 'value'], []) }}
{{ pictures(captions) }}
{% endblock %}
"""
table = TEMPLATES.get_template('parts.html').module.table


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
        TEMPLATES.from_string(PAGE).render(
            title='Title',
            heading='Run <1>',
            text='words & more',
            captions={tmp_path / 'loss.png': 'The <loss>'},
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


@pytest.mark.parametrize(
    ('size', 'shown'), [((480, 640), (480, 640)), ((4000, 6000), (533, 800)), ((900, 3), (800, 3))]
)
def test_pictures_fit_a_page(size, shown):
    assert fit_page(np.zeros((*size, 3), np.uint8)).shape == (*shown, 3)
