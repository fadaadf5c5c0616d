"""Tables as text."""

from collections.abc import Collection, Sequence

from prettytable import PrettyTable, TableStyle, VRuleStyle


def format_table(
    head: Sequence[str], rows: Sequence[Sequence], markdown: bool = True, text: Collection[str] = ()
) -> str:
    """Formats a table as Markdown, or for a terminal.

    The first column and those named in `text` are aligned left, the others, numbers, right.
    """
    table = PrettyTable(head, align='r')
    for name in (head[0], *text):
        table.align[name] = 'l'
    if markdown:
        table.set_style(TableStyle.MARKDOWN)
    else:
        table.vrules = VRuleStyle.NONE
    table.add_rows(rows)
    return table.get_string()
