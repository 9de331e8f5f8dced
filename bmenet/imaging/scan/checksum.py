"""Which scan it was: a checksum of its file, or of the images of its DICOM series."""

import hashlib
from pathlib import Path

from bmenet.runtime.errors import VolumeError
from bmenet.runtime.files import sha256


def scan_sha256(path: Path | str) -> str:
    """Return the SHA-256 of a scan's file; of a DICOM series, that of its images' sorted SHA-256s: names do not count.

    Raises
    ------
    VolumeError
        If it cannot be read.
    """
    from bmenet.imaging.scan.dicom import is_dicom

    path = Path(path)
    try:
        if not path.is_dir():
            return sha256(path)
        digests = sorted(sha256(file) for file in path.iterdir() if file.is_file() and is_dicom(file))
    except OSError as error:
        raise VolumeError(f"{path}: cannot be read ({error.strerror})") from error
    return hashlib.sha256("".join(digests).encode()).hexdigest()
