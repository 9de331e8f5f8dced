"""One page for the browser: volumes to look at, pictures, tables, and where they come from; a file on its own."""

import base64
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from bmenet import __version__
from bmenet.evaluation.pages.layers import Layer, encode_layers
from bmenet.networks.weights import SPEC_FILE
from bmenet.runtime.errors import BMENetError
from bmenet.runtime.files import read_json, write_text

_WIDEST = 5
"""Columns of a table that fits half the page; a wider one gets a row of its own."""

_NIIVUE = "_assets/js/niivue.umd.js"
_NIIVUE_VERSION = re.compile(r'version:"(\d+\.\d+\.\d+)"')
_ENDS_A_SCRIPT = re.compile(r"<(?=/script|script|!--)", re.IGNORECASE)


@dataclass(frozen=True)
class Table:
    """Texts under a header: the first column names the rows, the index is not shown, a note stands below."""

    title: str
    cells: pd.DataFrame
    note: str = ""


@dataclass(frozen=True)
class Picture:
    """A still picture; its title is shown above it, and read out in its place."""

    title: str
    png: bytes
    caption: str = ""


@dataclass(frozen=True)
class Page:
    """What one page shows; every text is plain and is escaped when it is written.

    Parameters
    ----------
    layers : sequence of Layer
        On one grid; the viewer opens with the first on the left and the second on the right. May be empty.
    pictures : sequence of Picture
        What is seen on paper, and where the browser has no WebGL 2.
    settings, origin : mapping of str to str
        Parameters of the run; model, checksums, commits, versions: where the result comes from.
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


def weights_origin(folders: Iterable[Path]) -> dict[str, str]:
    """Return what ``model.json`` in folders of weights tells: checksum, grid, how they were trained; no place."""
    told: dict[str, object] = {}
    for folder in folders:
        spec = read_json(folder / SPEC_FILE)
        kind = spec["kind"]
        told[f"{kind}: weights SHA-256"] = spec["sha256"]
        if "spacing_mm" in spec:  # the field network has a grid of its own
            told[f"{kind}: trained at"] = f"{spec['spacing_mm']} mm"
        told |= {
            f"{kind}: {name.replace('_', ' ')}": value
            for name, value in spec.get("lineage", {}).items()
            if isinstance(value, str | int | float)
        }
    return as_texts(told)


def software_versions() -> dict[str, str]:
    """Return the versions of what made the result."""
    libraries = {name: metadata.version(name) for name in ("torch", "monai", "numpy", "nibabel")}
    return {"bmenet": __version__, "Python": platform.python_version(), **libraries}


def as_texts(values: Mapping[str, object]) -> dict[str, str]:
    """Return values as a page shows them: numbers with six digits."""
    return {name: f"{value:.6g}" if isinstance(value, float) else str(value) for name, value in values.items()}
