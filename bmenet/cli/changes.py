"""What a change of params.yaml looks like on the terminal."""

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bmenet.config.profiles import Change


def print_changes(changes: Iterable[Change], before: str, after: str) -> None:
    """Print keys with their two values as a table on stdout; `before` and `after` head its columns."""
    table = Table("key", before, after)
    for change in changes:
        table.add_row(change.key, Text(str(change.old)), Text(str(change.new)))
    Console().print(table)
