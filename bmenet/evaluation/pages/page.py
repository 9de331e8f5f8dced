"""One page for the browser: volumes to look at, pictures, tables, and where they come from; a file on its own."""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from bmenet.evaluation.pages.layers import Layer, encode_layers
from bmenet.runtime.errors import BMENetError
from bmenet.runtime.files import write_text

__all__ = ["Layer", "Page", "Picture", "Table", "load_niivue", "write_page"]

_WIDEST = 5
"""Columns of a table that fits half the page; a wider one gets a row of its own."""

_NIIVUE = "_assets/js/niivue.umd.js"
_NIIVUE_VERSION = re.compile(r'version:"(\d+\.\d+\.\d+)"')
_ENDS_A_SCRIPT = re.compile(r"<(?=/script|script|!--)", re.IGNORECASE)


@dataclass(frozen=True)
class Table:
    """Texts under a header.

    Parameters
    ----------
    title : str
    cells : DataFrame of str
        The first column names the rows; the index is not shown.
    note : str
        What a reader must know about it, shown below.
    """

    title: str
    cells: pd.DataFrame
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
    origin : mapping of str to str
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
    origin: Mapping[str, str] = field(default_factory=dict)
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
        If nilearn has no viewer, or the file cannot be written.
    """
    templates = Environment(
        loader=PackageLoader(__package__, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["base64"] = lambda content: base64.b64encode(content).decode("ascii")
    values: dict[str, Any] = {"page": page, "widest": _WIDEST, "style": _asset("report.css")}
    values["kinds"] = {layer.kind for layer in page.layers}
    if page.layers:
        values["volumes"], values["view"] = encode_layers(page.layers)
        source, values["niivue_version"] = load_niivue()
        values |= {"niivue": _script(source), "script": _script(_asset("viewer.js"))}
        values["licence"] = _asset("niivue_licence.txt")
    html = templates.get_template("page.html").render(values)
    try:
        write_text(path, html)
    except OSError as error:
        raise BMENetError(f"{path}: cannot be written ({error.strerror or error})") from error


def load_niivue() -> tuple[str, str]:
    """Return the viewer's library that nilearn ships, a UMD module (the global `niivue`), and its version.

    Raises
    ------
    BMENetError
        If this nilearn does not ship it.
    """
    file = resources.files("nilearn").joinpath(_NIIVUE)
    if not file.is_file():
        raise BMENetError(
            f"expected nilearn to ship the viewer niivue ({_NIIVUE}); nilearn {metadata.version('nilearn')} does not;"
            " install nilearn 0.14.1 (constraints.txt), or leave the report out"
        )
    source = file.read_text(encoding="utf-8")
    found = _NIIVUE_VERSION.search(source)
    return source, found.group(1) if found else "unknown"


def _script(source: str) -> str:
    r"""Return JavaScript that an HTML parser does not end early.

    ``</script``, ``<script`` and ``<!--`` can only stand in strings, templates, patterns and comments, where ``\u003c``
    means the same.
    """
    return _ENDS_A_SCRIPT.sub(r"\\u003c", source)


def _asset(name: str) -> str:
    """Return the text of a file of this package."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
