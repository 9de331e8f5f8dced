"""The viewer's library: the niivue that nilearn ships."""

import re
from dataclasses import dataclass
from importlib import metadata, resources

from bmenet.runtime.errors import BMENetError

_PLACE = "_assets/js/niivue.umd.js"
_VERSION = re.compile(r'version:"(\d+\.\d+\.\d+)"')


@dataclass(frozen=True)
class Niivue:
    """The library as it is put into a page.

    Parameters
    ----------
    source : str
        JavaScript (a UMD module: as a plain script it makes the global `niivue`).
    version : str
    """

    source: str
    version: str


def load_niivue() -> Niivue:
    """Return niivue from the installed nilearn.

    Raises
    ------
    BMENetError
        If this nilearn does not ship it.
    """
    file = resources.files("nilearn").joinpath(_PLACE)
    if not file.is_file():
        raise BMENetError(
            f"expected nilearn to ship the viewer niivue ({_PLACE}); nilearn {metadata.version('nilearn')} does not;"
            " install nilearn 0.14.1 (constraints.txt), or leave the report out"
        )
    source = file.read_text(encoding="utf-8")
    found = _VERSION.search(source)
    return Niivue(source, found.group(1) if found else "unknown")
