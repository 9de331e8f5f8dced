"""The command line: its commands, listed here, and what can be asked of the program itself."""

from collections.abc import Callable
from typing import Annotated

import typer

from bmenet import __version__
from bmenet.cli.client import client
from bmenet.cli.degrade import degrade
from bmenet.cli.enhance import enhance
from bmenet.cli.errors import EXIT_CODES
from bmenet.cli.evaluate import dice, evaluate
from bmenet.cli.export import export, import_brainldm, release
from bmenet.cli.models import models
from bmenet.cli.mr_art import mr_art
from bmenet.cli.profile import profile
from bmenet.cli.qc import qc
from bmenet.cli.registry import registry_app, sync_tracking
from bmenet.cli.serve import serve
from bmenet.cli.tune import tune

COMMANDS: dict[str, Callable[..., None]] = {
    "enhance": enhance,
    "degrade": degrade,
    "evaluate": evaluate,
    "dice": dice,
    "qc": qc,
    "mr-art": mr_art,
    "tune": tune,
    "models": models,
    "export": export,
    "release": release,
    "serve": serve,
    "client": client,
    "profile": profile,
    "import-brainldm": import_brainldm,
    "sync-tracking": sync_tracking,
}


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


app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    callback=start,
    epilog=EXIT_CODES,
)
for name, command in COMMANDS.items():
    app.command(name, epilog=EXIT_CODES)(command)
app.add_typer(registry_app, name="registry", epilog=EXIT_CODES)
