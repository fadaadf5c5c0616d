"""Builds a self-contained HTML page from its parts."""

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

_NUMBER = re.compile(r'[-+]?[\d.,]+(e[-+]?\d+)?%?')
_STYLE = """
:root { color-scheme: light dark; --page: #fff; --text: #1f2328; --quiet: #59636e; --line: #d1d9e0;
        --link: #0969da; --good: #dafbe1; --bad: #ffebe9; --warn: #fff8c5; --plain: #f1f3f5; }
@media (prefers-color-scheme: dark) {
  :root { --page: #0d1117; --text: #e6edf3; --quiet: #9198a1; --line: #3d444d; --link: #4493f8;
          --good: #12261e; --bad: #301b1e; --warn: #2b2410; --plain: #21262d; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page);
       max-width: 62rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.6rem; } h3 { font-size: 1.05rem; margin-top: 2rem; }
h2 { font-size: 1.3rem; margin-top: 3rem; border-bottom: 1px solid var(--line); }
h1, h2, h3, p, figcaption, .box { overflow-wrap: anywhere; }
.box { border-left: .4rem solid; border-radius: .3rem; padding: .7rem 1rem; margin: 1rem 0; }
.box b { text-transform: uppercase; font-size: .8rem; letter-spacing: .05em; display: block; }
.good { border-color: #1a7f37; background: var(--good); }
.bad { border-color: #cf222e; background: var(--bad); }
.warn { border-color: #bf8700; background: var(--warn); }
.plain { border-color: #59636e; background: var(--plain); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: .25rem 1.4rem .25rem 0; text-align: left;
         vertical-align: top; }
th { color: var(--quiet); font-weight: 600; white-space: nowrap; }
.number { text-align: right; white-space: nowrap; }
.pictures { display: grid; gap: 1rem; margin: 1rem 0;
            grid-template-columns: repeat(auto-fill, minmax(min(26rem, 100%), 1fr)); }
figure { margin: 0; break-inside: avoid; }
img { width: 100%; background: #fff; border-radius: .3rem; }
figcaption { font-size: .85rem; color: var(--quiet); }
summary { cursor: pointer; color: var(--link); }
@media print { body { max-width: none; font-size: 12px; } h2 { break-before: page; }
               h2:first-of-type { break-before: auto; } }
"""


def make_page(title: str, parts: Iterable[str]) -> str:
    """A complete document, including pictures and style."""
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body>\n'
        + '\n'.join(parts)
        + '\n</body></html>\n'
    )


def heading(level: int, text: str) -> str:
    """A heading of level 1 to 3."""
    return f'<h{level}>{escape(text)}</h{level}>'


def paragraph(text: str) -> str:
    """A paragraph."""
    return f'<p>{escape(text)}</p>'


def callout(look: str, title: str, text: str) -> str:
    """A highlighted box; `look` is 'good', 'bad', 'warn' or 'plain'."""
    return f'<div class="box {look}"><b>{escape(title)}</b>{escape(text)}</div>'


def table(head: Sequence[str], rows: Sequence[Sequence]) -> str:
    """A table; columns of numbers are aligned right."""
    kinds = [
        ' class="number"' if all(_NUMBER.fullmatch(str(cell)) for cell in column) else ''
        for column in zip(*rows)
    ]
    return (
        '<div class="scroll"><table>\n'
        + '\n'.join(
            '<tr>'
            + ''.join(
                f'<{tag}{kind}>{_breakable(cell)}</{tag}>' for kind, cell in zip(kinds, cells)
            )
            + '</tr>'
            for tag, cells in [('th', head), *(('td', row) for row in rows)]
        )
        + '\n</table></div>'
    )


def pictures(captions: Mapping[Path, str]) -> str:
    """Picture files with their captions, in two columns if there is room."""
    return (
        '<div class="pictures">\n'
        + '\n'.join(
            f'<figure><img src="{_embed(path)}" alt="{escape(caption)}">'
            f'<figcaption>{escape(caption)}</figcaption></figure>'
            for path, caption in captions.items()
        )
        + '\n</div>'
    )


def details(title: str, part: str) -> str:
    """A part that is shown on demand."""
    return f'<details><summary>{escape(title)}</summary>\n{part}\n</details>'


def _breakable(cell: object) -> str:
    """Allows line breaks between the parts of paths and names."""
    return re.sub('(?<=[/_])', '<wbr>', escape(str(cell)))


def _embed(path: Path) -> str:
    kind = 'png' if path.suffix == '.png' else 'jpeg'
    return f'data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode()}'
