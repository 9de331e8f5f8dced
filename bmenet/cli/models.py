"""`bmenet models`: the models that `--model` takes by name, and their cards."""

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bmenet.cli.errors import exit_on_error
from bmenet.runtime.errors import BMENetError, WeightsError

if TYPE_CHECKING:
    from bmenet.release.registry import Version

_SHOWN_DIGITS = 8


@dataclass(frozen=True)
class _Entry:
    """A model in the list."""

    name: str
    source: str
    stages: list[str]
    spacing_mm: int | None
    bytes: int | None
    digest: str
    quality: str
    aliases: list[str] = field(default_factory=list)
    card: str = field(default="", repr=False)


def models(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Of the model whose card to show; without it, list them.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the models that --model takes by name: released weights and registered ones. With NAME, show its card.

    Released weights come with the package; the first one is the default of `bmenet enhance`. A registry is asked where
    this workspace has one or MLFLOW_TRACKING_URI names one. A card goes to a pipe as it is.
    """
    with exit_on_error():
        entries = _released()
        if name not in [entry.name for entry in entries]:
            entries += _registered()
        if name is None:
            _print_list(entries, as_json)
            return
        found = [entry for entry in entries if name in (entry.name, *entry.aliases)]
        if not found:
            known = ", ".join(entry.name for entry in entries) or "none at all"
            raise WeightsError(f"{name}: expected the name of a model; there is {known}; see `bmenet models`")
        _print_card(found[0], as_json)


def _released() -> list[_Entry]:
    """Return the released weights, the default first."""
    from bmenet.release.released import DEFAULT_NAME, released_bundles

    return [
        _Entry(
            one.name,
            "released",
            ["coarse", "fine"] if one.description.get("fine") else ["coarse"],
            one.description["spacing_mm"],
            one.total_bytes,
            one.digest,
            one.card.summary,
            card=one.card.text,
        )
        for one in sorted(released_bundles(), key=lambda one: one.name != DEFAULT_NAME)
    ]


def _registered() -> list[_Entry]:
    """Return the versions in the registry, the newest first; none where there is no store, or it does not answer."""
    from bmenet.tracking.store import Place

    if (place := Place.of_workspace()).is_missing:
        return []
    from bmenet.release.registry import Registry

    try:
        versions = Registry(place).versions()
    except BMENetError as error:
        typer.echo(f"bmenet: warning: registry: {' '.join(str(error).split())}", err=True)
        return []
    return [_of_version(version) for version in reversed(versions)]


def _of_version(version: "Version") -> _Entry:
    from bmenet.release.registry import MODEL_NAME, SPACING_TAG

    tags = version.tags
    validation = version.validation
    quality = "" if validation is None else f"validation {validation[0]} {validation[1]:.4g}"
    name = f"models:/{MODEL_NAME}/{version.number}"
    lines = [f"# {name}", "", f"Registered {version.time}.", "", "| | |", "| --- | --- |"]
    lines += [f"| `{key}` | {' '.join(value.split())} |" for key, value in sorted(tags.items()) if len(value) < 200]
    return _Entry(
        name,
        "registry",
        ["coarse", "fine"] if tags.get("bundle.has_fine") == "true" else ["coarse"],
        int(tags[SPACING_TAG]) if SPACING_TAG in tags else None,
        int(tags["bundle.bytes"]) if "bundle.bytes" in tags else None,
        version.digest,
        quality,
        [f"models:/{MODEL_NAME}@{alias}" for alias in version.aliases],
        "\n".join(lines) + "\n",
    )


def _print_card(entry: _Entry, as_json: bool) -> None:
    """Print a card: rendered on a terminal, as it is into a pipe."""
    from rich.markdown import Markdown

    if as_json:
        typer.echo(json.dumps(asdict(entry), indent=2))
    elif (console := Console()).is_terminal:
        console.print(Markdown(entry.card))
    else:
        typer.echo(entry.card, nl=False)


def _print_list(entries: list[_Entry], as_json: bool) -> None:
    """Print one row a model, or all but the cards as JSON."""
    if as_json:
        shown = [asdict(entry) for entry in entries]
        typer.echo(json.dumps([{key: row[key] for key in row if key != "card"} for row in shown], indent=2))
        return
    if not entries:
        typer.echo("bmenet: no released weights in the package, and no registry here", err=True)
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("model", "stages", "mm", "MB", "digest", "measured"):
        table.add_column(heading, overflow="fold")
    for entry in entries:
        table.add_row(
            "\n".join([entry.name, *entry.aliases]),
            ", ".join(entry.stages),
            str(entry.spacing_mm or ""),
            f"{entry.bytes / 1e6:.1f}" if entry.bytes else "",
            entry.digest[:_SHOWN_DIGITS],
            Text(entry.quality),
        )
    Console().print(table)
