"""What every source of scans offers: a list of subjects, and each subject's scan in native space."""

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bmenet.data.participants import Covariates
from bmenet.imaging.scan import Scan
from bmenet.runtime.errors import SourceError

Report = Callable[[str], None]
"""Shows a short note beside the progress bar, such as how much of a file has arrived."""


@dataclass(frozen=True)
class Subject:
    """A person who can be fetched."""

    id: str
    """The label in the data set; letters, digits and hyphens, for it becomes part of file names."""
    location: str
    """Where the source finds the T1w scan, relative to itself. It never leaves the source: paths can hold names."""
    covariates: Covariates = field(default_factory=Covariates)


class Source(ABC):
    """A place that T1w scans come from."""

    @abstractmethod
    def subjects(self) -> list[Subject]:
        """Return every subject, in a fixed order; this is cheap and reads no scan."""

    @abstractmethod
    def fingerprint(self, subject: Subject) -> str:
        """Return a hash that differs when `read` would return another scan."""

    @abstractmethod
    def read(self, subject: Subject, report: Report) -> Scan:
        """Return the subject's T1w scan in native space.

        Raises
        ------
        SourceError
            If the scan cannot be had.
        VolumeError
            If what was found is not a readable 3D scan.
        """


@dataclass(frozen=True)
class DataSet:
    """People of one source who are wanted; `kind` is the source's name in the table of sources."""

    name: str
    kind: str
    source: Source
    subjects: Sequence[Subject]


def subject_id(label: str) -> str:
    """Turn a label into an id that is safe in file names.

    Examples
    --------
    >>> subject_id("002_S_0295")
    '002-S-0295'
    """
    return re.sub(r"[^A-Za-z0-9]+", "-", label).strip("-")


def select(subjects: Sequence[Subject], wanted: int | Sequence[str] | None, key: str = "data") -> list[Subject]:
    """Return the subjects that an entry's `subjects` asks for: all (None), the first so many, or those named.

    Messages call the entry `key`.

    Raises
    ------
    SourceError
        If there are none, too few, two with one id, or none of a given name.
    """
    if not subjects:
        raise SourceError(f"params.yaml: {key}: expected a source with T1w scans; got one without")
    repeated = [name for name, count in Counter(subject.id for subject in subjects).items() if count > 1]
    if repeated:
        several = ", ".join(repeated)
        raise SourceError(
            f"params.yaml: {key}: expected one T1w scan per subject; got several for {several}: keep one scan of each"
            " in the source"
        )
    if wanted is None:
        return list(subjects)
    if isinstance(wanted, int):
        if wanted > len(subjects):
            raise SourceError(f"params.yaml: {key}.subjects: expected at most all {len(subjects)}; got {wanted}")
        return list(subjects[:wanted])
    by_id = {subject.id: subject for subject in subjects}
    ids = list(dict.fromkeys(subject_id(name) for name in wanted))
    unknown = [name for name in ids if name not in by_id]
    if unknown:
        raise SourceError(
            f"params.yaml: {key}.subjects: expected names that the source has, such as {subjects[0].id!r}; "
            f"got {', '.join(unknown)}"
        )
    return [by_id[name] for name in ids]
