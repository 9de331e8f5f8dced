"""`bmenet sync-tracking`: send what the tracking store could not take while a stage ran."""

import typer

from bmenet.cli.errors import exit_on_error


def sync_tracking() -> None:
    """Send runs that are still in mlflow/pending to the tracking store; runs that were killed are marked so."""
    from bmenet.tracking import sync

    with exit_on_error():
        sent = sync()
    typer.echo(f"{sent} run{'s' * (sent != 1)} sent")
