"""Sources `folder`, scans anywhere below a folder, such as an ADNI download, and `bids`, a raw data set in one."""

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from bmenet.data.participants import Covariates, read_covariates
from bmenet.data.sources.base import Report, Source, Subject, subject_id
from bmenet.imaging.scan import Scan, load_scan
from bmenet.imaging.scan.dicom_files import is_dicom
from bmenet.runtime.errors import SourceError
from bmenet.runtime.files import sha256

_KNOWN_IDS = (
    re.compile(r"(?<!\d)\d{3}_S_\d{4,5}(?!\d)"),
    re.compile(r"(?<![A-Za-z0-9])IXI\d{3}-[A-Za-z]+-\d{4}(?!\d)"),
    re.compile(r"(?<![A-Za-z0-9])sub-[A-Za-z0-9]+"),
)
"""ADNI's subject ids, such as 002_S_0295, IXI's, such as IXI276-HH-1840, and BIDS'."""

_BIDS_PATTERNS = ("anat/*_T1w.nii*", "ses-*/anat/*_T1w.nii*")


class FolderSource(Source):
    """Every NIfTI file and every folder of DICOM files is a scan.

    Its subject is the first of: a part of the path (a folder's name, or the file's name without its suffix) that the
    covariates table lists; an ADNI, IXI or BIDS id anywhere in the path; a pseudonym made from the path, because other
    names of files and folders may be names of people. The covariates are a CSV with the columns subject, age, sex. The
    ending ``_T1`` or ``_T1w`` is no part of a name, in the path and in the table. Messages call the source's entry in
    params.yaml `key`.
    """

    def __init__(self, root: Path, covariates: Path | str | None = None, key: str = "data") -> None:
        self.root, self.covariates, self.key = root, covariates, key

    def subjects(self) -> list[Subject]:
        """Return one subject per scan, by path."""
        rows = read_covariates(self.covariates) if self.covariates else {}
        table = {_label(name): covariates for name, covariates in rows.items()}
        named = {location.as_posix(): _name(location, table) for location in _locations(self.root)}
        found = [Subject(name, location, table.get(name, Covariates())) for location, name in named.items()]
        if not found:
            raise SourceError(
                f"params.yaml: {self.key}.root: expected NIfTI files or folders of DICOM files; got none below"
                f" {self.root}"
            )
        if table and not any(subject.id in table for subject in found):
            raise SourceError(
                f"params.yaml: {self.key}.covariates: expected the subjects of the scans, such as {found[0].id!r}; "
                f"got none of them, but {next(iter(rows))!r}"
            )
        return found

    def fingerprint(self, subject: Subject) -> str:
        """Hash the file, or all DICOM files of the series."""
        path = self.root / subject.location
        try:
            files = sorted(filter(is_dicom, path.iterdir())) if path.is_dir() else [path]
            return hashlib.sha256("".join(map(sha256, files)).encode()).hexdigest()
        except OSError as error:
            raise SourceError(f"{subject.id}: the scan cannot be read: {error.strerror}") from error

    def read(self, subject: Subject, report: Report) -> Scan:
        """Load the file, or convert the series."""
        return load_scan(self.root / subject.location)


class BidsSource(FolderSource):
    """Subjects ``sub-*`` with a T1w scan in ``anat`` or ``ses-*/anat``.

    The first of several sessions or runs, in the order of their names, is taken. Age and sex come from
    participants.tsv, if there is one.
    """

    def subjects(self) -> list[Subject]:
        """Return the folders that hold a T1w scan, by name."""
        participants = self.root / "participants.tsv"
        table = read_covariates(participants) if participants.exists() else {}
        by_name = {name.removeprefix("sub-"): covariates for name, covariates in table.items()}
        found = []
        for folder in sorted(self.root.glob("sub-*/")):
            scans = [path for pattern in _BIDS_PATTERNS for path in sorted(folder.glob(pattern))]
            if scans:
                covariates = by_name.get(folder.name.removeprefix("sub-"), Covariates())
                found.append(Subject(folder.name, scans[0].relative_to(self.root).as_posix(), covariates))
        if not found:
            raise SourceError(
                f"params.yaml: {self.key}.root: expected files sub-*/anat/*_T1w.nii.gz; got none in {self.root}"
            )
        return found


def _locations(root: Path) -> Iterator[Path]:
    """Yield the scans below `root`, relative to it, by path; hidden files and folders are left out."""
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        visible = sorted(name for name in files if not name.startswith("."))
        relative = Path(folder).relative_to(root)
        yield from (relative / name for name in visible if name.endswith((".nii", ".nii.gz")))
        if any(is_dicom(Path(folder) / name) for name in visible):
            yield relative


def _label(name: str) -> str:
    """Return the id that a name in the table or a part of a path stands for."""
    return subject_id(re.sub(r"(_T1w?)?(\.nii(\.gz)?)?$", "", name))


def _name(location: Path, table: dict[str, Covariates]) -> str:
    """Return the subject id of a scan; see `FolderSource`."""
    for label in map(_label, reversed(location.parts)):
        if label in table:
            return label
    for pattern in _KNOWN_IDS:
        if match := pattern.search(location.as_posix()):
            return subject_id(match[0])
    return f"sub-{hashlib.sha256(location.as_posix().encode()).hexdigest()[:8]}"
