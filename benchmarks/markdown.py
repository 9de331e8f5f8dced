"""The tables that a benchmark prints, as a Markdown file: what documentation shows is what the command wrote."""

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from bmenet.evaluation.tables import markdown_table
from bmenet.runtime.files import atomic_path


def write_tables(path: Path, title: str, introduction: str, tables: Sequence[Table]) -> None:
    """Write the tables that have rows, each under its title.

    Parameters
    ----------
    path : Path
    title, introduction : str
        Of the file; what was measured, and how.
    tables : sequence of Table
        Their titles, headers and cells are texts; rich's markup is left out.
    """
    parts = [f"# {title}\n\n{introduction}\n", *(_section(table) for table in tables if table.row_count)]
    with atomic_path(path) as unfinished:
        unfinished.write_text("\n".join(parts), encoding="utf-8")


def _section(table: Table) -> str:
    header = [_plain(column.header) for column in table.columns]
    rows = list(zip(*([_plain(cell) for cell in column.cells] for column in table.columns), strict=True))
    note = f"\n{_plain(table.caption)}\n" if table.caption else ""
    return f"## {_plain(table.title)}\n\n{markdown_table(header, rows)}{note}"


def _plain(text: object) -> str:
    return Text.from_markup(str(text)).plain.replace("\n", " ")
