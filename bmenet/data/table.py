"""The subjects' table: what `fetch` brought, and what `register` starts from."""

from dataclasses import dataclass

from bmenet.data.covariates import Sex
from bmenet.data.layout import Layout
from bmenet.runtime.files import read_json


@dataclass(frozen=True)
class FetchedScan:
    """A row of the subjects' table.

    Parameters
    ----------
    id : str
    file : str
        T1w scan in native space, relative to the raw folder.
    age : float or None
        Years.
    sex : {"F", "M"} or None
    sha256 : str
        Of the file.
    source : str
        The source's name, ``@``, and the start of the fingerprint of what was read; never a path.
    """

    id: str
    file: str
    age: float | None
    sex: Sex | None
    sha256: str
    source: str


def read_table(layout: Layout) -> list[FetchedScan]:
    """Return what has been fetched so far; empty before the first fetch."""
    return [FetchedScan(**row) for row in read_json(layout.subjects_table)] if layout.subjects_table.exists() else []
