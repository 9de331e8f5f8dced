"""What happens before any command: the version, and a clean way out."""

import signal
import sys
from typing import Annotated, Any

import typer

from bmenet import __version__


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"bmenet {__version__}")
        raise typer.Exit


def start(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Restore T1-weighted brain MRI from motion, noise and intensity inhomogeneity. Research use only.

    Exit codes: 0 done; 1 the input or the work failed, one line on stderr says why; 2 wrong use. Results go to
    stdout, progress and messages to stderr.
    """
    signal.signal(signal.SIGTERM, _terminate)


def _terminate(signal_number: int, _frame: Any) -> None:
    """Leave by an exception, so that half-written files are removed."""
    sys.exit(128 + signal_number)
