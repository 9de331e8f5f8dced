"""Source `openneuro`: data set ds002748 from OpenNeuro's public bucket, or from a mirror of it."""

from pathlib import Path

from bmenet.data.bucket import Bucket
from bmenet.data.sources.base import Report, Source, Subject
from bmenet.imaging.scan import Scan

BUCKET = "https://s3.amazonaws.com/openneuro.org/ds002748"


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
        self.bucket = Bucket(base, downloads)

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
