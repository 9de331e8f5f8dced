"""`bmenet registry`, the published models and their champion, and `bmenet sync-tracking`."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bmenet.cli.errors import EXIT_CODES, exit_on_error
from bmenet.runtime.errors import WeightsError

if TYPE_CHECKING:
    from bmenet.release.registry import Version

_SHOWN_DIGITS = 8

registry_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    epilog=EXIT_CODES,
    help="The published models, and which of them is the champion: the one that `models:/bmenet@champion` stands for.",
)

ReasonOption = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Recorded with the decision.")]


@registry_app.command("list", epilog=EXIT_CODES)
def list_versions(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with all tags.")] = False,
) -> None:
    """List every version: its aliases, when it came, how it did on validation volumes, and the last decision about it.

    The newest version has the alias challenger, the one to use the alias champion.
    """
    with exit_on_error():
        from bmenet.release.registry import Registry

        versions = Registry().versions()
        if not versions:
            raise WeightsError(
                "expected published models; the registry holds none; run `dvc repro --force --single-item publish`"
            )
        if as_json:
            typer.echo(json.dumps([_as_dict(version) for version in versions], indent=2))
        else:
            _print_table(versions)


@registry_app.command(epilog=EXIT_CODES)
def promote(
    version: Annotated[int, typer.Argument(metavar="VERSION", min=1, help="As `bmenet registry list` shows it.")],
    reason: ReasonOption = "",
) -> None:
    """Make a version the champion by hand, whatever the gate says; who decided and why is recorded."""
    with exit_on_error():
        from bmenet.release.registry import Registry

        before = Registry().promote(version, reason)
    typer.echo(f"champion: version {version} (before: {f'version {before}' if before else 'none'})")


@registry_app.command(epilog=EXIT_CODES)
def rollback(reason: ReasonOption = "") -> None:
    """Make the champion before the present one the champion again; once more goes one further back."""
    with exit_on_error():
        from bmenet.release.registry import Registry

        before, after = Registry().rollback(reason)
    typer.echo(f"champion: version {after} (before: version {before})")


def sync_tracking() -> None:
    """Send runs that are still in mlflow/pending to the tracking store; runs that were killed are marked so."""
    from bmenet.tracking import sync

    with exit_on_error():
        sent = sync()
    typer.echo(f"{sent} run{'s' * (sent != 1)} sent")


def _as_dict(version: "Version") -> dict[str, Any]:
    """Return all that is known of a version."""
    from bmenet.release.registry import SPACING_TAG

    validation = version.validation
    return {
        "version": version.number,
        "aliases": list(version.aliases),
        "time": version.time,
        "digest": version.digest,
        "spacing_mm": int(version.tags[SPACING_TAG]) if SPACING_TAG in version.tags else None,
        "validation": {validation[0]: validation[1]} if validation else {},
        "decision": version.tags.get("gate.decision"),
        "reasons": version.tags.get("gate.reasons"),
        "champion_since": version.tags.get("champion.since"),
        "tags": version.tags,
    }


def _print_table(versions: list["Version"]) -> None:
    """Print one row a version, the newest first."""
    from bmenet.release.registry import SPACING_TAG

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("version", "aliases", "published", "bundle", "mm", "validation", "decision"):
        table.add_column(name)
    for version in reversed(versions):
        tags, validation = version.tags, version.validation
        decision = f"{tags['gate.decision']} ({tags.get('gate.by', '')})" if "gate.decision" in tags else ""
        table.add_row(
            str(version.number),
            "\n".join(version.aliases),
            version.time[:10],
            version.digest[:_SHOWN_DIGITS],
            tags.get(SPACING_TAG, ""),
            f"{validation[0]}\n{validation[1]:.4g}" if validation else "",
            Text(decision),
        )
    Console().print(table)
