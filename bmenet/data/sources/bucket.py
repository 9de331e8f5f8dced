"""An OpenNeuro data set in its public bucket, or in a mirror of it: its participants, and its files one by one."""

import hashlib
import re
from pathlib import Path

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from bmenet.data.covariates import Covariates, read_covariates
from bmenet.data.download import UnreachableError, download
from bmenet.data.sources.base import Report
from bmenet.imaging.scan import Scan, load_scan
from bmenet.runtime.errors import SourceError
from bmenet.runtime.files import sha256

TABLE = "participants.tsv"
_TIMEOUT_S = (10, 30)
_RETRY = Retry(total=4, backoff_factor=1, status_forcelist=(408, 425, 429, 500, 502, 503, 504))


class Bucket:
    """The files of one data set by their place in it, such as ``sub-01/anat/sub-01_T1w.nii.gz``.

    Parameters
    ----------
    base : str
        URL or folder that holds participants.tsv and the subjects' folders.
    downloads : Path
        Where unfinished downloads wait for the next run.
    """

    def __init__(self, base: str, downloads: Path) -> None:
        self.base, self.downloads = base.rstrip("/"), downloads
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
        download(f"{self.base}/{location}", path)
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
        try:
            with requests.Session() as session:
                for scheme in ("http://", "https://"):
                    session.mount(scheme, HTTPAdapter(max_retries=_RETRY))
                with session.get(url, stream=True, timeout=_TIMEOUT_S) as response:
                    status = response.status_code
        except requests.ConnectionError as error:
            raise UnreachableError(f"{url}: the server cannot be reached; check the network and run again") from error
        except requests.RequestException as error:
            raise SourceError(f"{url}: expected an answer; got {error}") from error
        if status not in (200, 404):
            raise SourceError(f"{url}: expected a file, or the answer that there is none; the server answered {status}")
        return status == 200

    def fingerprint(self, location: str) -> str:
        """Hash the file in a folder; for a URL, the address: the files of a published data set do not change.

        Raises
        ------
        OSError
            If the file in a folder cannot be read.
        """
        if self.is_remote:
            return hashlib.sha256(f"{self.base}/{location}".encode()).hexdigest()
        return sha256(Path(self.base) / location)

    def read(self, location: str, report: Report) -> Scan:
        """Load a scan, downloaded first where the base is a URL; the download is not kept after that."""
        if not self.is_remote:
            return load_scan(Path(self.base) / location)

        def progress(here: int, total: int | None) -> None:
            report(f"{here / 1e6:.1f} of {total / 1e6:.1f} MB" if total else f"{here / 1e6:.1f} MB")

        path = self.downloads / f"{self.fingerprint(location)[:16]}_T1w.nii.gz"
        if not path.exists():
            download(f"{self.base}/{location}", path, progress=progress)
        try:
            return load_scan(path)
        finally:
            path.unlink()
