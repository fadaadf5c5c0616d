"""A page of headings, texts, tables and pictures, as one HTML file and as Markdown."""
import base64
import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

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
            grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); }
figure { margin: 0; break-inside: avoid; }
img { width: 100%; background: #fff; border-radius: .3rem; }
figcaption { font-size: .85rem; color: var(--quiet); }
summary { cursor: pointer; color: var(--link); }
@media print { body { max-width: none; font-size: 12px; } h2 { break-before: page; }
               h2:first-of-type { break-before: auto; } }
"""


@dataclass
class Heading:
    """A heading of level 1 to 3."""

    level: int
    text: str


@dataclass
class Text:
    """A paragraph."""

    text: str


@dataclass
class Box:
    """What has to be seen first; `look` is 'good', 'bad', 'warn' or 'plain'."""

    look: str
    title: str
    text: str


@dataclass
class Table:
    """Rows of cells."""

    head: Sequence[str]
    rows: Sequence[Sequence]


@dataclass
class Pictures:
    """Picture files and what is said of each, in two columns where there is room."""

    captions: dict[Path, str]


@dataclass
class Details:
    """What is shown on demand."""

    title: str
    blocks: Sequence['Block']


Block = Heading | Text | Box | Table | Pictures | Details


def to_html(title: str, blocks: Iterable) -> str:
    """One file that needs no other: pictures and style are in it."""
    return (f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<title>{html.escape(title)}</title><style>{_STYLE}</style></head>\n<body>\n'
            f'{_to_html(blocks)}\n</body></html>\n')


def to_markdown(blocks: Iterable, folder: Path) -> str:
    """The same for a file in `folder`, with pictures as links."""
    return '\n\n'.join(_block_to_markdown(block, folder) for block in blocks) + '\n'


def _to_html(blocks: Iterable) -> str:
    return '\n'.join(map(_block_to_html, blocks))


def _block_to_html(block: Block) -> str:
    match block:
        case Heading(level, text):
            return f'<h{level}>{html.escape(text)}</h{level}>'
        case Text(text):
            return f'<p>{html.escape(text)}</p>'
        case Box(look, title, text):
            return (f'<div class="box {look}"><b>{html.escape(title)}</b>{html.escape(text)}</div>')
        case Table(head, rows):
            lines = [('th', head), *(('td', row) for row in rows)]
            kinds = [' class="number"' if is_number else '' for is_number in _are_numbers(block)]
            return '<div class="scroll"><table>\n' + '\n'.join(
                '<tr>' + ''.join(f'<{tag}{kind}>{_breakable(cell)}</{tag}>'
                                 for kind, cell in zip(kinds, cells))
                + '</tr>' for tag, cells in lines) + '\n</table></div>'
        case Pictures(captions):
            return '<div class="pictures">\n' + '\n'.join(
                f'<figure><img src="{_embed(path)}" alt="{html.escape(caption)}">'
                f'<figcaption>{html.escape(caption)}</figcaption></figure>'
                for path, caption in captions.items()) + '\n</div>'
        case Details(title, inner):
            return (f'<details><summary>{html.escape(title)}</summary>\n{_to_html(inner)}\n'
                    '</details>')


def _block_to_markdown(block: Block, folder: Path) -> str:
    match block:
        case Heading(level, text):
            return f'{"#" * level} {text}'
        case Text(text):
            return text
        case Box(_, title, text):
            return f'> **{title}** {text}'
        case Table(head, rows):
            rule = ['---:' if is_number else '---' for is_number in _are_numbers(block)]
            lines = [head, rule, *rows]
            return '\n'.join('| ' + ' | '.join(str(cell).replace('|', r'\|') for cell in cells)
                             + ' |' for cells in lines)
        case Pictures(captions):
            return '\n\n'.join(f'![{path.stem}]({path.relative_to(folder)})\n*{caption}*'
                               for path, caption in captions.items())
        case Details(title, inner):
            return f'**{title}**\n\n{to_markdown(inner, folder).rstrip()}'


def _breakable(cell) -> str:
    """Paths and names may go on in the next line where one of their parts ends."""
    return re.sub('(?<=[/_])', '<wbr>', html.escape(str(cell)))


def _are_numbers(table: Table) -> list[bool]:
    """Of each column, whether it holds numbers and nothing else."""
    return [all(re.fullmatch(r'[-+]?[\d.,]+(e[-+]?\d+)?%?', str(cell)) for cell in column)
            for column in zip(*table.rows)] or [False] * len(table.head)


def _embed(path: Path) -> str:
    kind = 'png' if path.suffix == '.png' else 'jpeg'
    return f'data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode()}'
