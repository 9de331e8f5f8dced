"""`bmenet profile`: show the profiles, or switch params.yaml to one of them."""

from collections.abc import Iterable
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bmenet.cli.errors import exit_on_error
from bmenet.config.profiles import Change, Profiles
from bmenet.runtime.errors import ConfigError
from bmenet.runtime.progress import console


def profile(
    name: Annotated[str | None, typer.Argument(help="The profile to switch to; without it, list them.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace edited parameters; a copy is kept.")] = False,
) -> None:
    """Switch params.yaml to a profile, and show what changes."""
    with exit_on_error():
        profiles = Profiles()
        if name is None:
            _list(profiles)
        else:
            _switch(profiles, name, force)


def _list(profiles: Profiles) -> None:
    """Print every profile, marking the active one, or say that params.yaml is edited or missing."""
    active = profiles.active()
    for name in profiles.names():
        typer.echo(f"{'*' if name == active else ' '} {name}")
    if active is None:
        state = "is edited: it matches no profile" if profiles.params.exists() else "is missing"
        typer.echo(f"{profiles.params} {state}")


def _switch(profiles: Profiles, name: str, force: bool) -> None:
    """Print the difference, then switch."""
    profiles.load(name)
    try:
        changes = profiles.changes(name) if profiles.params.exists() else []
    except ConfigError as error:
        console.print(f"no difference to show: {error}", markup=False)
    else:
        if changes:
            print_changes(changes, "params.yaml", name)
    backup = profiles.switch(name, force)
    if backup:
        console.print(f"saved the edited parameters as {backup}")
    typer.echo(f"{profiles.params} is now {name}")


def print_changes(changes: Iterable[Change], before: str, after: str) -> None:
    """Print keys with their two values as a table on stdout; `before` and `after` head its columns."""
    table = Table("key", before, after)
    for change in changes:
        table.add_row(change.key, Text(str(change.old)), Text(str(change.new)))
    Console().print(table)
