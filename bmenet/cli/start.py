"""What can be asked of the program itself: its version."""

from typing import Annotated

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

    Results go to stdout, progress and messages to stderr.
    """
