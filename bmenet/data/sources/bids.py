"""Source `bids`: the raw data set in a folder, one T1w scan per subject."""

from pathlib import Path

from bmenet.config import Config
from bmenet.data.participants import Covariates, read_covariates
from bmenet.data.sources.base import Report, Source, Subject, configured_root
from bmenet.imaging.scan import Scan, load_scan
from bmenet.runtime.errors import SourceError
from bmenet.runtime.files import sha256

_PATTERNS = ("anat/*_T1w.nii*", "ses-*/anat/*_T1w.nii*")


class BidsSource(Source):
    """Subjects ``sub-*`` with a T1w scan in ``anat`` or ``ses-*/anat``.

    The first of several sessions or runs, in the order of their names, is taken. Age and sex come from
    participants.tsv, if there is one.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def from_config(cls, config: Config, downloads: Path) -> "BidsSource":
        """Read ``data.root``."""
        return cls(configured_root(config.data))

    def subjects(self) -> list[Subject]:
        """Return the folders that hold a T1w scan, by name."""
        participants = self.root / "participants.tsv"
        table = read_covariates(participants) if participants.exists() else {}
        by_name = {name.removeprefix("sub-"): covariates for name, covariates in table.items()}
        found = []
        for folder in sorted(self.root.glob("sub-*/")):
            scans = [path for pattern in _PATTERNS for path in sorted(folder.glob(pattern))]
            if scans:
                covariates = by_name.get(folder.name.removeprefix("sub-"), Covariates())
                found.append(Subject(folder.name, scans[0].relative_to(self.root).as_posix(), covariates))
        if not found:
            raise SourceError(f"data.root: expected files sub-*/anat/*_T1w.nii.gz; got none in {self.root}")
        return found

    def fingerprint(self, subject: Subject) -> str:
        """Hash the file."""
        try:
            return sha256(self.root / subject.location)
        except OSError as error:
            raise SourceError(f"{subject.location}: cannot be read: {error.strerror}") from error

    def read(self, subject: Subject, report: Report) -> Scan:
        """Load the file."""
        return load_scan(self.root / subject.location)
