"""`bmenet release`: the workspace's networks as weights that come with the package."""

from pathlib import Path
from typing import Annotated

import typer

from bmenet.cli.errors import exit_on_error
from bmenet.cli.export import print_exported


def release(
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Gets the release as a folder of its own.",
            show_default="bmenet/release/weights in the package",
            file_okay=False,
        ),
    ] = None,
) -> None:
    """Write the trained networks as released weights: a bundle of at most 40 MB with its card and its licence.

    In the package they are the default of `bmenet enhance`. The card's figures are those of the stage `evaluate`. Only
    networks trained on the public data of the source `openneuro` are released, and only a bundle that agrees with
    torch. `make release` trains and evaluates first. Prints the release's folder.
    """
    with exit_on_error():
        from bmenet.config import load_config
        from bmenet.data.layout import Layout
        from bmenet.release.release import release as write
        from bmenet.release.released import RELEASED_FOLDER
        from bmenet.runtime.progress import console

        with console.status("release") as status:
            exported = write(load_config(), Layout(), out or RELEASED_FOLDER, status.update)
        print_exported(exported)
    typer.echo(exported.bundle.folder)
