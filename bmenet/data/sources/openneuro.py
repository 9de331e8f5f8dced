"""OpenNeuro data sets in their public bucket, or in mirrors of them."""

import hashlib
import re
from pathlib import Path

from urllib3 import Retry

from bmenet.data.download import RETRY, ask, download
from bmenet.data.participants import Covariates, read_covariates
from bmenet.data.sources.base import Report, Source, Subject
from bmenet.imaging.scan import Scan, load_scan
from bmenet.runtime.errors import SourceError
from bmenet.runtime.files import sha256

BUCKET = "https://s3.amazonaws.com/openneuro.org"
"""It holds a folder for each data set, named by its accession."""
TABLE = "participants.tsv"


class Bucket:
    """The files of one data set by their place in it, such as ``sub-01/anat/sub-01_T1w.nii.gz``.

    The base, a URL or a folder, holds participants.tsv and the subjects' folders; unfinished downloads wait in
    `downloads` for the next run.
    """

    def __init__(self, base: str, downloads: Path, retry: Retry = RETRY) -> None:
        self.base, self.downloads, self.retry = base.rstrip("/"), downloads, retry
        self.is_remote = re.match("https?://", base) is not None

    def participants(self) -> dict[str, Covariates]:
        """Return those that participants.tsv lists, in its order.

        Raises
        ------
        SourceError
            If the table cannot be had, or a name in it is no BIDS label: a path made of it could lead anywhere.
        """
        table = read_covariates(self.local(TABLE))
        odd = [name for name in table if not re.fullmatch("sub-[A-Za-z0-9]+", name)]
        if odd:
            raise SourceError(f"{TABLE}: expected participants named like 'sub-01'; got {odd[0]!r}")
        return table

    def local(self, location: str) -> Path:
        """Return where a small file lies on this machine, downloaded under its own name where the base is a URL."""
        if not self.is_remote:
            return Path(self.base) / location
        path = self.downloads / Path(location).name
        download(f"{self.base}/{location}", path, retry=self.retry)
        return path

    def has(self, location: str) -> bool:
        """Tell whether the data set has a file; of a URL only the answer's first lines are read.

        Raises
        ------
        SourceError
            If the server neither offers the file nor says that there is none.
        """
        if not self.is_remote:
            return (Path(self.base) / location).is_file()
        url = f"{self.base}/{location}"
        with ask(url, retry=self.retry) as response:
            status = response.status_code
        if status not in (200, 404):
            raise SourceError(f"{url}: expected a file, or the answer that there is none; the server answered {status}")
        return status == 200

    def fingerprint(self, location: str) -> str:
        """Hash the file in a folder; for a URL, the address: the files of a published data set do not change.

        Raises
        ------
        SourceError
            If the file in a folder cannot be read.
        """
        if self.is_remote:
            return hashlib.sha256(f"{self.base}/{location}".encode()).hexdigest()
        try:
            return sha256(Path(self.base) / location)
        except OSError as error:
            raise SourceError(
                f"{location}: cannot be read ({error.strerror}), though {TABLE} lists whose it is; complete the copy of"
                " the data, or leave the person out (subjects of its entry in data.sources)"
            ) from error

    def read(self, location: str, report: Report) -> Scan:
        """Load a scan, downloaded first where the base is a URL; the download is not kept after that."""
        if not self.is_remote:
            return load_scan(Path(self.base) / location)

        def progress(here: int, total: int | None) -> None:
            report(f"{here / 1e6:.1f} of {total / 1e6:.1f} MB" if total else f"{here / 1e6:.1f} MB")

        path = self.downloads / f"{self.fingerprint(location)[:16]}_T1w.nii.gz"
        if not path.exists():
            download(f"{self.base}/{location}", path, progress=progress, retry=self.retry)
        try:
            return load_scan(path)
        finally:
            path.unlink()


class OpenNeuroSource(Source):
    """The subjects that participants.tsv lists, with their ``sub-*/anat/sub-*_T1w.nii.gz``; otherwise a `Bucket`.

    References
    ----------
    ds002748: Bezmaternykh et al. (2021), Resting state with closed eyes for patients with depression and healthy
    participants, doi:10.18112/openneuro.ds002748.v1.0.5 (CC0).
    ds000011: Foerde, Knowlton and Poldrack (2006), Modulation of competing memory systems by distraction, PNAS
    103(31):11778-83; OpenfMRI project (PDDL).
    """

    def __init__(self, base: str, downloads: Path) -> None:
        self.bucket = Bucket(base, downloads)

    @classmethod
    def at(cls, accession: str | None, mirror: str | None, downloads: Path) -> "OpenNeuroSource":
        """Open the folder or URL `mirror`; by default the data set's folder in the public bucket."""
        return cls(mirror or f"{BUCKET}/{accession}", downloads)

    def subjects(self) -> list[Subject]:
        """Return those listed, in the table's order."""
        table = self.bucket.participants()
        return [Subject(name, f"{name}/anat/{name}_T1w.nii.gz", covariates) for name, covariates in table.items()]

    def fingerprint(self, subject: Subject) -> str:
        """Hash the file in a folder; for a URL, the address: the files of a published data set do not change."""
        return self.bucket.fingerprint(subject.location)

    def read(self, subject: Subject, report: Report) -> Scan:
        """Load the file, downloaded first where the base is a URL; the download is not kept after that."""
        return self.bucket.read(subject.location, report)
