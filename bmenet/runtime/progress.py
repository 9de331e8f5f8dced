"""One console and one style of progress bar: messages and progress go to stderr, results to stdout."""

import os

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

console = Console(stderr=True, quiet=int(os.environ.get("RANK", "0")) > 0)
"""Of a distributed training (torchrun and accelerate set RANK) only the main process speaks."""


def progress_bar() -> Progress:
    """Return a progress bar with a count, the elapsed time and an estimate of the rest, drawn on stderr."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("eta"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        refresh_per_second=2,
    )
