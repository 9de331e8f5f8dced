"""Age and sex of people, from BIDS' participants.tsv or any such table, and the table of what was fetched."""

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bmenet.data.layout import Layout
from bmenet.runtime.errors import SourceError
from bmenet.runtime.files import read_json

Sex = Literal["F", "M"]

_ID_COLUMNS = ("participant_id", "subject")
_SEX_COLUMNS = ("sex", "gender")
_SEXES: dict[str, Sex] = {"f": "F", "female": "F", "m": "M", "male": "M"}
_UNKNOWN = ("", "n/a", "na", "nan", "o", "other", "u", "unknown")


@dataclass(frozen=True)
class Covariates:
    """What is known about a person, the age in years; None where it is not."""

    age: float | None = None
    sex: Sex | None = None


@dataclass(frozen=True)
class FetchedScan:
    """A row of the subjects' table, the file being the T1w scan in native space, relative to the raw folder."""

    id: str
    file: str
    age: float | None
    sex: Sex | None
    sha256: str
    source: str
    """The source's name, ``@``, and the start of the fingerprint of what was read; never a path."""


def dataset_of(subject: str) -> str:
    """Return the data set of a subject whose id is ``<dataset>_<id>``; empty where it names none.

    >>> dataset_of("ds000011_sub-01")
    'ds000011'
    """
    return subject.rpartition("_")[0]


def read_table(layout: Layout) -> list[FetchedScan]:
    """Return what has been fetched so far; empty before the first fetch."""
    return [FetchedScan(**row) for row in read_json(layout.subjects_table)] if layout.subjects_table.exists() else []


def read_covariates(path: Path | str) -> dict[str, Covariates]:
    """Read a table with a subject column and, where there are such, the columns age and sex.

    The subject column is ``participant_id`` or ``subject``; ``gender`` stands for sex as well; upper and lower case are
    the same. Tabs separate the columns of a ``.tsv``, commas those of any other file.

    The answer leads from the subject column, as written and in its order, to the covariates.

    Raises
    ------
    SourceError
        If the file or the subject column is missing, a subject is listed twice, or an age or a sex cannot be read.
    """
    path = Path(path)
    try:
        with open(path, newline="", encoding="utf-8-sig") as handle:
            rows = list(csv.reader(handle, delimiter="\t" if path.suffix == ".tsv" else ","))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{path.name}: expected a readable table of subjects; {error}") from error
    columns = [name.strip().lower() for name in rows[0]] if rows else []
    id_column = next((name for name in _ID_COLUMNS if name in columns), None)
    if id_column is None:
        got = ", ".join(columns) or "none"
        raise SourceError(f"{path.name}: expected a column {' or '.join(_ID_COLUMNS)}; got {got}")
    sex_column = next((name for name in _SEX_COLUMNS if name in columns), None)
    table: dict[str, Covariates] = {}
    for line, values in enumerate(rows[1:], start=2):
        if not any(value.strip() for value in values):
            continue
        row = dict(zip(columns, (value.strip() for value in values), strict=False))
        where = f"{path.name}, line {line}"
        name = row.get(id_column, "")
        if not name or name in table:
            raise SourceError(f"{where}: expected a subject that is listed once; got {name!r}")
        table[name] = Covariates(_age(row.get("age", ""), where), _sex(row.get(sex_column or "", ""), where))
    return table


def _age(text: str, where: str) -> float | None:
    """Read an age; BIDS caps high ones as '89+'."""
    if text.lower() in _UNKNOWN:
        return None
    try:
        age = float(text.rstrip("+"))
    except ValueError:
        age = math.nan
    if not 0 <= age <= 130:
        raise SourceError(f"{where}: age: expected years in [0, 130] or 'n/a'; got {text!r}")
    return age


def _sex(text: str, where: str) -> Sex | None:
    if text.lower() in _UNKNOWN:
        return None
    try:
        return _SEXES[text.lower()]
    except KeyError:
        raise SourceError(f"{where}: sex: expected f, m, female, male or 'n/a'; got {text!r}") from None
