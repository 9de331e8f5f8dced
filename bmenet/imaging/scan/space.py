"""How much space on disk the result for a scan may take, told from the scan's header before anything else is read."""

from math import prod
from pathlib import Path

from bmenet.imaging.scan.dicom_files import dicom_files, is_dicom
from bmenet.imaging.scan.mgh import is_mgh, read_mgh_header
from bmenet.imaging.scan.nifti import open_stream, read_header
from bmenet.runtime.errors import VolumeError

_DICOM_RATIO = 2
"""DICOM has 16 bits a voxel; its intensities, scaled slice by slice, are stored as float32."""


def result_bytes(path: Path | str) -> int:
    """Return how many bytes a volume on the grid of a scan and of its type takes, uncompressed.

    For a series of DICOM, and for a file whose header cannot be read, that is judged by the files' size; 0 for what
    is not there.
    """
    path = Path(path)
    try:
        if path.is_dir() or (path.is_file() and is_dicom(path)):
            return _DICOM_RATIO * sum(file.stat().st_size for file in dicom_files(path))
        if is_mgh(path):
            with open_stream(path) as stream:
                _, shape, dtype = read_mgh_header(stream)
            return prod(shape) * dtype.itemsize
        with open_stream(path) as stream:
            return read_header(stream).data_bytes
    except (OSError, VolumeError):
        return _size(path)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0
