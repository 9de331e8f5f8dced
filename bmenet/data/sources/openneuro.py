"""Source `openneuro`: data set ds002748 from OpenNeuro's public bucket, or from a mirror of it."""

import hashlib
import re
from pathlib import Path

from bmenet.config import Config
from bmenet.data.covariates import read_covariates
from bmenet.data.download import download
from bmenet.data.sources.base import Report, Source, Subject
from bmenet.errors import SourceError
from bmenet.files import sha256
from bmenet.scan import Scan, load_scan

BUCKET = "https://s3.amazonaws.com/openneuro.org/ds002748"
_TABLE = "participants.tsv"


class OpenNeuroSource(Source):
    """The subjects that participants.tsv lists, downloaded one by one, or read from a mirror folder.

    Parameters
    ----------
    base : str
        URL or folder with participants.tsv and ``sub-*/anat/sub-*_T1w.nii.gz``.
    downloads : Path
        Where unfinished downloads wait for the next run.

    References
    ----------
    Bezmaternykh et al. (2021), Resting state with closed eyes for patients with depression and healthy participants,
    OpenNeuro, doi:10.18112/openneuro.ds002748.v1.0.5 (CC0).
    """

    def __init__(self, base: str, downloads: Path) -> None:
        self.base, self.downloads = base.rstrip("/"), downloads
        self.is_remote = re.match("https?://", base) is not None

    @classmethod
    def from_config(cls, config: Config, downloads: Path) -> "OpenNeuroSource":
        """Read ``data.mirror``."""
        return cls(config.data.mirror or BUCKET, downloads)

    def subjects(self) -> list[Subject]:
        """Return those listed, in the table's order."""
        if self.is_remote:
            path = self.downloads / _TABLE
            download(f"{self.base}/{_TABLE}", path)
        else:
            path = Path(self.base) / _TABLE
        table = read_covariates(path)
        odd = [name for name in table if not re.fullmatch("sub-[A-Za-z0-9]+", name)]
        if odd:
            raise SourceError(f"{_TABLE}: expected participants named like 'sub-01'; got {odd[0]!r}")
        return [Subject(name, f"{name}/anat/{name}_T1w.nii.gz", covariates) for name, covariates in table.items()]

    def fingerprint(self, subject: Subject) -> str:
        """Hash the file in a folder; for a URL, the address: the files of a published data set do not change."""
        if self.is_remote:
            return hashlib.sha256(f"{self.base}/{subject.location}".encode()).hexdigest()
        try:
            return sha256(Path(self.base) / subject.location)
        except OSError as error:
            raise SourceError(
                f"data.mirror: {_TABLE} lists {subject.id}, but {subject.location} cannot be read ({error.strerror}); "
                "complete the mirror, or choose others with data.subjects"
            ) from error

    def read(self, subject: Subject, report: Report) -> Scan:
        """Load the file, downloaded first where the base is a URL; the download is not kept after that."""
        if not self.is_remote:
            return load_scan(Path(self.base) / subject.location)

        def progress(here: int, total: int | None) -> None:
            report(f"{here / 1e6:.1f} of {total / 1e6:.1f} MB" if total else f"{here / 1e6:.1f} MB")

        path = self.downloads / f"{self.fingerprint(subject)[:16]}_T1w.nii.gz"
        if not path.exists():
            download(f"{self.base}/{subject.location}", path, progress=progress)
        try:
            return load_scan(path)
        finally:
            path.unlink()
