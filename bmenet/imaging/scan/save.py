"""Write a scan on its own grid: geometry and intensities, and nothing else that its file held."""

from pathlib import Path

import nibabel as nib
import numpy as np

from bmenet.imaging.scan.scan import Scan
from bmenet.runtime.errors import VolumeError
from bmenet.runtime.files import atomic_path

_SUFFIXES = (".nii", ".nii.gz")


def check_output_name(path: Path | str) -> Path:
    """Return the path if its name and its folder allow a NIfTI file to be written.

    Raises
    ------
    VolumeError
        If the name ends neither in .nii nor in .nii.gz, if the folder does not exist, or a folder has this name.
    OSError
        If the file system cannot have such a name.
    """
    path = Path(path)
    if not path.name.endswith(_SUFFIXES):
        raise VolumeError(f"{path}: expected a name that ends in {' or '.join(_SUFFIXES)}; got {path.name!r}")
    if not path.parent.is_dir():
        raise VolumeError(f"{path}: expected the folder {path.parent} to exist; make it first")
    if path.is_dir():
        raise VolumeError(f"{path}: expected the name of a file; got a folder")
    return path


def save_scan(path: Path | str, scan: Scan) -> None:
    """Save a scan as NIfTI-1, gzip if the name ends in .gz, atomically; the same scan gives the same bytes.

    The input's shape, voxel sizes, qform, sform, codes and units are kept; free text and extensions never reach the
    file. Integers are stored as the same integer type with the same slope and intercept, rounded, when all
    intensities fit; everything else as float32.

    Raises
    ------
    VolumeError
        If the name is not that of a NIfTI file, the folder does not exist, or the disk refuses.
    """
    try:
        path = check_output_name(path)
        _write(path, scan)
    except OSError as error:
        raise VolumeError(f"{path}: cannot be written ({error.strerror or error})") from error


def _write(path: Path, scan: Scan) -> None:
    counts, slope, intercept = _encode(scan)
    header = scan.geometry.copy()
    header.set_data_dtype(counts.dtype)
    image = nib.Nifti1Image(counts.reshape(scan.shape), None, header, dtype=counts.dtype)
    image.header.set_slope_inter(slope, intercept)
    with atomic_path(path) as temporary:
        nib.save(image, temporary)


def _encode(scan: Scan) -> tuple[np.ndarray, float, float]:
    """Return what is stored, and the slope and intercept that turn it back into intensities."""
    if scan.dtype.kind in "iu":
        counts = np.rint((scan.volume.data.astype(np.float64) - scan.intercept) / scan.slope)
        limits = np.iinfo(scan.dtype)
        if limits.min <= counts.min() and counts.max() <= limits.max:
            return counts.astype(scan.dtype), scan.slope, scan.intercept
    return scan.volume.data, 1.0, 0.0
