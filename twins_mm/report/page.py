"""Writes self-contained HTML pages from the templates beside this file."""

import base64
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from ..files.atomic_write import replacing

# A page contains its pictures: those of 24 megapixels would make it 100 MB.
_PICTURE_SIDE = 800  # pixels
_NUMBER = re.compile(r'[-+]?[\d.,]+(e[-+]?\d+)?%?')


def write_page(path: Path, template: str, **context: Any) -> None:
    """Renders a file of `templates/` with `context` into `path`, which is complete or as before.

    Text of the context is escaped; pictures, given as paths, become part of the page.
    """
    page = TEMPLATES.get_template(template).render(context)
    with replacing(path) as partial:
        partial.write_text(page, encoding='utf-8')


def fit_page(picture: np.ndarray) -> np.ndarray:
    """A picture as a page shows it: reduced where a side has more than 800 pixels."""
    ratio = _PICTURE_SIDE / max(picture.shape[:2])
    if ratio >= 1:
        return picture
    return cv2.resize(picture, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)


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
