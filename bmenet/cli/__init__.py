"""The command line: one file per command, listed here."""

from collections.abc import Callable

import typer

from bmenet.cli.client import client
from bmenet.cli.degrade import degrade
from bmenet.cli.dice import dice
from bmenet.cli.enhance import enhance
from bmenet.cli.errors import EXIT_CODES
from bmenet.cli.evaluate import evaluate
from bmenet.cli.export import export
from bmenet.cli.import_brainldm import import_brainldm
from bmenet.cli.models import models
from bmenet.cli.mr_art import mr_art
from bmenet.cli.profile import profile
from bmenet.cli.qc import qc
from bmenet.cli.registry import registry_app
from bmenet.cli.release import release
from bmenet.cli.serve import serve
from bmenet.cli.start import start
from bmenet.cli.tracking import sync_tracking
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
