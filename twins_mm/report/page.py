"""Writes self-contained HTML pages from the templates beside this file."""

import base64
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ..files.atomic_write import replacing

_NUMBER = re.compile(r'[-+]?[\d.,]+(e[-+]?\d+)?%?')


def write_page(path: Path, template: str, **context: Any) -> None:
    """Renders a file of `templates/` with `context` into `path`, which is complete or as before.

    Text of the context is escaped; pictures, given as paths, become part of the page.
    """
    page = TEMPLATES.get_template(template).render(context)
    with replacing(path) as partial:
        partial.write_text(page, encoding='utf-8')


def _numeric_columns(rows: Iterable[Sequence]) -> list[int]:
    """The columns that contain nothing but numbers."""
    return [
        index
        for index, column in enumerate(zip(*rows))
        if all(_NUMBER.fullmatch(str(cell)) for cell in column)
    ]


def _data_uri(path: Path) -> str:
    kind = 'png' if path.suffix == '.png' else 'jpeg'
    return f'data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode()}'


TEMPLATES = Environment(
    loader=PackageLoader(__package__),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters.update(numeric_columns=_numeric_columns, data_uri=_data_uri)
