"""One page for the browser: volumes to look at, pictures, tables, and where they come from; a file on its own."""

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from string import Template

from bmenet.evaluation.pages import markup
from bmenet.evaluation.pages.layers import Layer, encode_layers
from bmenet.evaluation.pages.niivue import Niivue, load_niivue
from bmenet.runtime.errors import BMENetError
from bmenet.runtime.files import write_text

__all__ = ["Layer", "Page", "Picture", "Table", "write_page"]

_WIDEST = 5
"""Columns of a table that fits half the page; a wider one gets a row of its own."""


@dataclass(frozen=True)
class Table:
    """Rows of text under a header.

    Parameters
    ----------
    title : str
    header : list of str
    rows : list of list of str
        Each as long as the header; the first column names the row.
    note : str
        What a reader must know about it, shown below.
    """

    title: str
    header: list[str]
    rows: list[list[str]]
    note: str = ""


@dataclass(frozen=True)
class Picture:
    """A still picture.

    Parameters
    ----------
    title : str
        Shown above it, and read out in its place.
    png : bytes
    caption : str
    """

    title: str
    png: bytes
    caption: str = ""


@dataclass(frozen=True)
class Page:
    """What one page shows; every text is plain and is escaped when it is written.

    Parameters
    ----------
    title, subtitle : str
    layers : sequence of Layer
        On one grid; the viewer opens with the first on the left and the second on the right. May be empty.
    tables : sequence of Table
    pictures : sequence of Picture
        What is seen on paper, and where the browser has no WebGL 2.
    settings : mapping of str to str
        Parameters of the run.
    lineage : mapping of str to str
        Model, checksums, commits, versions: where the result comes from.
    notes : sequence of str
        What a reader must know before anything else.
    """

    title: str
    subtitle: str = ""
    layers: Sequence[Layer] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    lineage: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()


def write_page(path: Path | str, page: Page) -> None:
    """Write a page as one HTML file, atomically: no other file, no network and no server are needed to read it.

    Volumes are stored in 255 steps (see `encode_layers`), cut to the box that holds something; the same page gives the
    same bytes.

    Raises
    ------
    GridMismatchError
        If two layers lie on different grids.
    VolumeError
        If a layer has values that are not finite.
    BMENetError
        If a row of a table is not as long as its header, nilearn has no viewer, or the file cannot be written.
    """
    for table in page.tables:
        for row in table.rows:
            if len(row) != len(table.header):
                raise BMENetError(f"table {table.title!r}: expected rows of {len(table.header)} cells; got {row!r}")
    html = _render(page, load_niivue() if page.layers else None)
    try:
        write_text(path, html)
    except OSError as error:
        raise BMENetError(f"{path}: cannot be written ({error.strerror or error})") from error


def _render(page: Page, niivue: Niivue | None) -> str:
    """Return the whole HTML text."""
    kinds = {layer.kind for layer in page.layers}
    pictures = [
        markup.picture(picture.title, base64.b64encode(picture.png).decode("ascii"), picture.caption)
        for picture in page.pictures
    ]
    facts = [("Settings", page.settings), ("Where it comes from", page.lineage)]
    return Template(_asset("report.html")).substitute(
        title=markup.text(page.title),
        subtitle=markup.text(page.subtitle),
        style=_asset("report.css"),
        notes=markup.notes(page.notes),
        viewer=_viewer(page.layers, niivue) if niivue else "",
        colours=markup.colours(kinds),
        pictures="".join(pictures),
        wide_tables=_tables(table for table in page.tables if len(table.header) > _WIDEST),
        tables=_tables(table for table in page.tables if len(table.header) <= _WIDEST),
        facts="".join(markup.facts(title, values) for title, values in facts if values),
        credits=markup.credit(niivue.version, _asset("niivue_licence.txt")) if niivue else "",
    )


def _tables(tables: Iterable[Table]) -> str:
    """Return tables one below the other."""
    return "".join(markup.table(table.title, table.header, table.rows, table.note) for table in tables)


def _viewer(layers: Sequence[Layer], niivue: Niivue) -> str:
    """Return the viewer, its data and its scripts."""
    encoded, view = encode_layers(layers)
    return Template(_asset("viewer.html")).substitute(
        options=markup.options([layer.name for layer in layers]),
        view=markup.inline_script(json.dumps(view, allow_nan=False)),
        volumes="\n".join(
            f'<script type="text/plain" id="volume-{number}">{volume}</script>' for number, volume in enumerate(encoded)
        ),
        niivue=markup.inline_script(niivue.source),
        script=markup.inline_script(_asset("report.js")),
    )


def _asset(name: str) -> str:
    """Return the text of a file of this package."""
    return resources.files("bmenet.evaluation.pages").joinpath(name).read_text(encoding="utf-8")
