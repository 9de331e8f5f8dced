"""Read a scan, a NIfTI file or a DICOM series, or a brain mask; nothing in it is trusted before it is checked."""

import hashlib
from pathlib import Path

import nibabel as nib
import numpy as np

from bmenet.imaging.grid import Grid
from bmenet.imaging.scan.content import check_content
from bmenet.imaging.scan.geometry import read_geometry
from bmenet.imaging.scan.header import check_shape
from bmenet.imaging.scan.nifti import read_nifti
from bmenet.imaging.scan.scan import Scan
from bmenet.imaging.volume import Volume
from bmenet.runtime.errors import GridMismatchError, VolumeError
from bmenet.runtime.files import sha256


def load_scan(path: Path | str) -> Scan:
    """Load a scan in its native space.

    Parameters
    ----------
    path : Path or str
        A NIfTI-1 or NIfTI-2 file, gzip or plain by content, or a folder that holds one DICOM series.

    Returns
    -------
    Scan
        Its `notes` tell what had to be assumed.

    Raises
    ------
    VolumeError
        If the path does not hold one readable 3D volume that could be a T1-weighted scan; after little time and
        memory, whatever the header claims.
    """
    path = Path(path)
    try:
        is_folder = path.is_dir()
    except OSError as error:
        raise VolumeError(f"{path}: cannot be read ({error.strerror})") from error
    if is_folder:
        return _load_series(path)
    header, counts = read_nifti(path)
    return _build(path, header.nifti, counts, header.slope, header.intercept, header.notes)


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


def load_brain_mask(path: Path | str, grid: Grid) -> np.ndarray:
    """Load a brain mask; read as carefully as a scan.

    Parameters
    ----------
    path : Path or str
        A NIfTI file, positive inside the brain.
    grid : Grid
        Where it must lie.

    Returns
    -------
    brain_mask : ndarray of bool, shape (X, Y, Z)

    Raises
    ------
    VolumeError
        If the file is not one readable 3D NIfTI volume.
    GridMismatchError
        If it lies on another grid.
    """
    path = Path(path)
    try:
        header, counts = read_nifti(path)
        _, affine, _ = read_geometry(header.nifti, header.shape, path)
    except VolumeError as error:
        raise VolumeError(f"expected a brain mask as NIfTI; {error}") from error
    counts = counts.reshape(header.shape[:3])
    if not Grid(counts.shape, affine).same_as(grid):
        raise GridMismatchError(
            f"{path}: expected the clean scan's grid, shape {grid.shape}; got shape {counts.shape} or another affine"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        return counts * header.slope + header.intercept > 0


def _load_series(folder: Path) -> Scan:
    from bmenet.imaging.scan.dicom import read_dicom_series

    image = read_dicom_series(folder)
    check_shape(image.shape, folder)
    return _build(folder, image.header, np.asanyarray(image.dataobj), 1.0, 0.0, ())


def _build(
    path: Path,
    nifti: nib.Nifti1Header,
    counts: np.ndarray,
    slope: float,
    intercept: float,
    notes: tuple[str, ...],
) -> Scan:
    """Scale the counts, check what they show and where they lie."""
    geometry, affine, geometry_notes = read_geometry(nifti, counts.shape, path)
    with np.errstate(over="ignore", invalid="ignore"):
        data = np.ascontiguousarray(counts.reshape(counts.shape[:3]), dtype=np.float32)
        data = data * np.float32(slope) + np.float32(intercept) if (slope, intercept) != (1.0, 0.0) else data
    data, content_notes = check_content(data, path)
    dtype = counts.dtype.newbyteorder("=")
    notes = (*notes, *geometry_notes, *content_notes)
    return Scan(Volume(data, affine), counts.shape, geometry, dtype, slope, intercept, notes)
